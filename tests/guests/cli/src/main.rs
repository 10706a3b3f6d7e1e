//! A command that does what its arguments say, one after the other; built for wasip1, for wasip2 and for the machine itself.
//!
//! ```text
//! print TEXT | eprint TEXT | args | env NAME | cat FILE | write FILE TEXT | list DIR | rename FROM TO
//! copy (input to output) | terminal | sleep MILLISECONDS | await FILE (until it is there) | alloc MEBIBYTES | spin | panic | exit CODE | resolve HOST
//! compute MILLIONS (of turns) | flood (lines without end) | sockets, files FILE (opened without end)
//! ```
//! A failing step prints its error to stderr and ends the command with 1; an unknown one with 64.

use std::hint::black_box;
use std::io::IsTerminal as _;
use std::net::{ToSocketAddrs as _, UdpSocket};
use std::time::Duration;
use std::{env, fs};

fn main() {
    let mut words = env::args().skip(1);
    while let Some(step) = words.next() {
        let mut operand = || words.next().unwrap_or_default();
        let done = match step.as_str() {
            "print" => Ok(println!("{}", operand())),
            "eprint" => Ok(eprintln!("{}", operand())),
            "args" => Ok(println!("{:?}", env::args().collect::<Vec<_>>())),
            "env" => Ok(println!("{}", env::var(operand()).unwrap_or_else(|_| "(unset)".into()))),
            "cat" => fs::read_to_string(operand()).map(|text| print!("{text}")),
            "write" => fs::write(operand(), operand()),
            "list" => list(&operand()),
            "rename" => fs::rename(operand(), operand()),
            "copy" => std::io::copy(&mut std::io::stdin(), &mut std::io::stdout()).map(drop),
            "terminal" => Ok(println!("{:?}", [
                std::io::stdin().is_terminal(),
                std::io::stdout().is_terminal(),
                std::io::stderr().is_terminal(),
            ])),
            "sleep" => Ok(std::thread::sleep(Duration::from_millis(number(&operand())))),
            "await" => {
                let file = operand();
                while !fs::exists(&file).unwrap_or(false) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(())
            }
            "alloc" => Ok(alloc(number(&operand()))),
            "spin" => spin(),
            "compute" => Ok(compute(number(&operand()) * 1_000_000)),
            "flood" => flood(),
            "sockets" => open(|| UdpSocket::bind("0.0.0.0:0")),
            "files" => {
                let file = operand();
                open(|| fs::File::open(&file))
            }
            "resolve" => resolve(&operand()),
            "panic" => panic!("asked to"),
            "exit" => exit(number(&operand()) as u8),
            unknown => {
                eprintln!("unknown step {unknown:?}");
                exit(64);
            }
        };
        if let Err(error) = done {
            eprintln!("{step}: {error}");
            exit(1);
        }
    }
}

#[cfg(target_env = "p2")]
fn exit(code: u8) -> ! {
    wasip2::cli::exit::exit_with_code(code);
    unreachable!("the host ends the instance")
}

#[cfg(not(target_env = "p2"))]
fn exit(code: u8) -> ! {
    std::process::exit(code.into())
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

fn list(directory: &str) -> std::io::Result<()> {
    let mut names: Vec<_> = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    names.sort();
    println!("{}", names.join(" "));
    Ok(())
}

fn resolve(host: &str) -> std::io::Result<()> {
    let addresses: Vec<_> = (host, 0).to_socket_addrs()?.map(|address| address.ip().to_string()).collect();
    println!("{}", addresses.join(" "));
    Ok(())
}

fn alloc(mebibytes: u64) {
    let mut block = vec![0_u8; (mebibytes << 20) as usize];
    for byte in block.iter_mut().step_by(4096) {
        *byte = 1;
    }
    println!(
        "allocated {mebibytes} MiB, sum {}",
        black_box(&block).iter().step_by(4096).map(|b| u64::from(*b)).sum::<u64>()
    );
}

fn spin() -> ! {
    println!("spinning");
    loop {
        compute(u64::MAX);
    }
}

fn compute(turns: u64) {
    for turn in 0..turns {
        black_box(turn);
    }
}

fn flood() -> ! {
    loop {
        println!("{:0100}", 0);
    }
}

fn open<T>(one: impl Fn() -> std::io::Result<T>) -> std::io::Result<()> {
    let mut all = Vec::new();
    loop {
        match one() {
            Ok(opened) => all.push(opened),
            Err(error) => {
                println!("{} opened", all.len());
                return Err(error);
            }
        }
    }
}
