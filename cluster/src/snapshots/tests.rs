use super::*;

const GROUP: GroupId = GroupId(2);

#[test]
fn a_snapshot_is_found_again_with_its_chunks() {
    let folder = tempfile::tempdir().unwrap();
    let (snapshots, none) = Snapshots::open(folder.path(), GROUP).unwrap();
    assert!(none.is_empty() && snapshots.current().is_none());
    snapshots.write(header(9), &chunks()).unwrap();

    let (snapshots, found) = Snapshots::open(folder.path(), GROUP).unwrap();

    assert_eq!(found, chunks());
    assert_eq!(snapshots.current().unwrap().index(), 9);
}

#[test]
fn every_damaged_byte_and_every_torn_end_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (snapshots, _) = Snapshots::open(folder.path(), GROUP).unwrap();
    snapshots.write(header(9), &chunks()).unwrap();
    let path = folder.path().join("group-2.snapshot");
    let whole = fs::read(&path).unwrap();

    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x20;
        for damaged in [flipped, whole[..at].to_vec()] {
            fs::write(&path, damaged).unwrap();
            let error = Snapshots::open(folder.path(), GROUP).err().expect("the damage is seen");
            assert!(error.to_string().contains("group-2.snapshot"), "{error} at {at}");
        }
    }
}

#[test]
fn a_snapshot_in_a_format_of_another_build_is_not_damaged() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("group-2.snapshot"), b"VEDSNAP2, and whatever that build writes").unwrap();

    let refused = Snapshots::open(folder.path(), GROUP).err().expect("nobody can read it");

    assert!(matches!(refused, SnapshotError::AnotherVersion { .. }), "{refused}");
}

#[test]
fn a_disk_that_does_not_give_the_file_has_not_damaged_it() {
    let folder = tempfile::tempdir().unwrap();
    // A folder of that name can be opened like a file, and then not be read.
    fs::create_dir(folder.path().join("group-2.snapshot")).unwrap();

    let failed = Snapshots::open(folder.path(), GROUP).err().expect("nothing can be read");

    assert!(matches!(failed, SnapshotError::Io { .. }), "{failed}");
}

#[test]
fn a_snapshot_that_lacks_a_chunk_or_has_one_too_many_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("group-2.snapshot");
    for promised in [2, 4] {
        let header = SnapshotHeader { chunks: promised, ..header(9) };
        format::write(&path, header, &chunks()).unwrap();

        let refused = Snapshots::open(folder.path(), GROUP).err().expect("the chunks are counted");

        assert!(matches!(refused, SnapshotError::Damaged { .. }), "{refused}");
    }
}

#[test]
fn the_snapshot_of_another_group_is_refused() {
    let (folder, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (others, _) = Snapshots::open(theirs.path(), GroupId(3)).unwrap();
    let header = SnapshotHeader { group: 3, ..header(9) };
    let sent = others.write(header, &chunks()).unwrap();
    let (snapshots, _) = Snapshots::open(folder.path(), GROUP).unwrap();

    let adopted = snapshots.adopt(SnapshotData::of(&sent));
    fs::copy(theirs.path().join("group-3.snapshot"), folder.path().join("group-2.snapshot")).unwrap();
    let opened = Snapshots::open(folder.path(), GROUP);

    for refused in [adopted.err().unwrap(), opened.err().unwrap()] {
        assert!(refused.to_string().contains("another group"), "{refused}");
    }
}

#[test]
fn a_snapshot_that_cannot_be_finished_leaves_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let (snapshots, _) = Snapshots::open(folder.path(), GROUP).unwrap();
    snapshots.write(header(9), &chunks()).unwrap();
    // A folder of that name stands for a disk that refuses the file.
    let unwritable = folder.path().join("group-2.1.unfinished");
    fs::create_dir(&unwritable).unwrap();

    let failed = snapshots.write(header(15), &[]);
    fs::remove_dir(&unwritable).unwrap();
    fs::write(&unwritable, b"VEDSNAP1 and half of it").unwrap();

    assert!(matches!(failed, Err(SnapshotError::Io { .. })));
    assert_eq!(snapshots.current().unwrap().index(), 9);
    let (snapshots, found) = Snapshots::open(folder.path(), GROUP).unwrap();
    assert_eq!((snapshots.current().unwrap().index(), found), (9, chunks()));
}

#[test]
fn a_received_snapshot_that_was_overtaken_gives_the_chunks_of_the_newer_one() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (sender, _) = Snapshots::open(theirs.path(), GROUP).unwrap();
    let received = SnapshotData::of(&sender.write(header(9), &[Bytes::from_static(b"old")]).unwrap());
    let (receiver, _) = Snapshots::open(ours.path(), GROUP).unwrap();
    receiver.write(header(20), &chunks()).unwrap();

    let (snapshot, adopted) = receiver.adopt(received).unwrap();

    assert_eq!((snapshot.index(), adopted), (20, chunks()));
}

#[test]
fn an_older_snapshot_never_replaces_a_newer_one() {
    let folder = tempfile::tempdir().unwrap();
    let (snapshots, _) = Snapshots::open(folder.path(), GROUP).unwrap();
    snapshots.write(header(9), &chunks()).unwrap();

    snapshots.write(header(5), &[]).unwrap();

    assert_eq!(Snapshots::open(folder.path(), GROUP).unwrap().1, chunks());
}

#[test]
fn what_was_never_finished_is_removed_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("group-2.7.unfinished"), b"half").unwrap();

    Snapshots::open(folder.path(), GROUP).unwrap();

    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_received_snapshot_is_adopted_byte_for_byte() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (sender, _) = Snapshots::open(theirs.path(), GROUP).unwrap();
    let sent = SnapshotData::of(&sender.write(header(9), &chunks()).unwrap());
    let (receiver, _) = Snapshots::open(ours.path(), GROUP).unwrap();
    let mut received = receiver.receive().unwrap();
    while received.bytes < sent.bytes {
        received.append(&sent.read_at(received.bytes, 10).unwrap()).unwrap();
    }

    let (snapshot, adopted) = receiver.adopt(received).unwrap();

    assert_eq!((snapshot.index(), adopted), (9, chunks()));
}

#[test]
fn a_received_snapshot_that_is_not_whole_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (snapshots, _) = Snapshots::open(folder.path(), GROUP).unwrap();
    let mut received = snapshots.receive().unwrap();
    received.append(b"VEDSNAP1 and then nothing more").unwrap();

    assert!(snapshots.adopt(received).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

fn header(index: u64) -> SnapshotHeader {
    let last = Some(LogId { term: 1, node: 1, index });
    SnapshotHeader { group: GROUP.0, last, stamp_ms: 77, ..Default::default() }
}

fn chunks() -> Vec<Bytes> {
    vec![Bytes::from_static(b"alice"), Bytes::new(), Bytes::from(vec![7; 300])]
}
