//! A TCP server on `std::net`: sends every line back. Listens on its first argument, `0.0.0.0:7` if none is given.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "0.0.0.0:7".into());
    let listener = TcpListener::bind(&address)?;
    println!("listening on {}", listener.local_addr()?);
    for connection in listener.incoming() {
        let mut connection = connection?;
        let mut line = String::new();
        BufReader::new(&connection).read_line(&mut line)?;
        connection.write_all(line.as_bytes())?;
    }
    Ok(())
}
