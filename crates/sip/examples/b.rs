use bytes::Bytes;
use sip::*;
fn main() {
    let mut v = vec![];
    fn walk(p: &std::path::Path, v: &mut Vec<Bytes>) {
        for e in std::fs::read_dir(p).unwrap() {
            let p = e.unwrap().path();
            if p.is_dir() { walk(&p, v) } else { v.push(std::fs::read(&p).unwrap().into()) }
        }
    }
    walk(std::path::Path::new("/work/shared/captures/messages"), &mut v);
    let l = Limits::default();
    for _ in 0..2 {
        let t = std::time::Instant::now();
        for _ in 0..2000 {
            for b in &v {
                std::hint::black_box(Message::parse(b.clone(), &l).unwrap());
            }
        }
        println!("parse {} ns", t.elapsed().as_nanos() / 200000);
        let ms: Vec<_> = v.iter().map(|b| Message::parse(b.clone(), &l).unwrap()).collect();
        let t = std::time::Instant::now();
        for _ in 0..2000 {
            for m in &ms {
                std::hint::black_box(m.check()).ok();
            }
        }
        println!("check {} ns", t.elapsed().as_nanos() / 200000);
        let t = std::time::Instant::now();
        for _ in 0..2000 {
            for m in &ms {
                std::hint::black_box(
                    Edit::new(m)
                        .note_source("1.2.3.4:5".parse().unwrap())
                        .push_via("SIP/2.0/TCP x;branch=z9hG4bKx")
                        .max_forwards(69)
                        .finish(),
                );
            }
        }
        println!("edit {} ns", t.elapsed().as_nanos() / 200000);
        let t = std::time::Instant::now();
        for _ in 0..2000 {
            for m in &ms {
                std::hint::black_box(ResponseWriter::new(m, 200).to_tag("x").header("Expires", 60).finish());
            }
        }
        println!("answer {} ns", t.elapsed().as_nanos() / 200000);
        let t = std::time::Instant::now();
        for _ in 0..2000 {
            for m in &ms {
                std::hint::black_box(transaction::TransactionKey::of(m));
            }
        }
        println!("key {} ns", t.elapsed().as_nanos() / 200000);
    }
}
