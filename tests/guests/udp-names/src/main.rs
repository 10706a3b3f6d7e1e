//! A server of datagrams on `std::net`, for clients that speak no other protocol over UDP than DNS: whatever is asked, it answers
//! with a text, its host name. Listens on its first argument, `0.0.0.0:8081` if none is given.

use std::net::UdpSocket;

const HEADER: usize = 12;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "0.0.0.0:8081".into());
    let name = std::env::var("HOSTNAME").unwrap_or_default();
    let socket = UdpSocket::bind(&address)?;
    println!("listening on {}", socket.local_addr()?);
    let mut buffer = [0; 512];
    loop {
        let (length, client) = socket.recv_from(&mut buffer)?;
        if let Some(answer) = answer(&buffer[..length], &name) {
            socket.send_to(&answer, client)?;
        }
    }
}

/// The question with an answer behind it: the text, as a record of the name that was asked for.
fn answer(question: &[u8], text: &str) -> Option<Vec<u8>> {
    let name = question.get(HEADER..)?.iter().position(|byte| *byte == 0)? + 1;
    let mut answer = question.get(..HEADER + name + 4)?.to_vec();
    answer[2] |= 0x80;
    answer[4..HEADER].copy_from_slice(&[0, 1, 0, 1, 0, 0, 0, 0]);
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 255)?;
    // The name at the beginning of the question, type TXT, class IN, for no time.
    answer.extend([0xc0, HEADER as u8, 0, 16, 0, 1, 0, 0, 0, 0, 0, length + 1, length]);
    answer.extend(text.as_bytes());
    Some(answer)
}
