//! Compiles the .proto files with a compiler written in Rust, so that a build needs no protoc.

use std::path::Path;

const FILES: [&str; 7] = ["auth", "presence", "admin", "replica", "raft", "directory", "membership"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files: Vec<_> = FILES
        .iter()
        .map(|name| format!("vedette/v1/{name}.proto"))
        .filter(|f| Path::new(f).exists())
        .collect();
    for file in &files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(&files, ["."])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
