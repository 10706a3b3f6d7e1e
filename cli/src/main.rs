//! `wherry`: parse, build, run, drain.

mod account_tokens;
mod agent;
mod allocator;
mod apiserver;
mod args;
mod audit;
mod authentication;
mod authorization;
mod certificate;
mod compile;
mod controllers;
mod front_proxies;
mod image;
mod image_args;
mod ingress_args;
mod keyvalue_args;
mod logging;
mod manifest_url;
mod network;
mod node;
mod paths;
mod process;
mod resource_args;
mod run;
mod secrets;
mod serving;
mod shutdown_args;
mod token;
mod up;
mod wasm;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{CertificateCommand, Cli, Command, SecretsCommand};
use crate::token::TokenCommand;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            logging::fatal(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let started = tokio::time::Instant::now();
    logging::init(cli.log_format)?;
    allocator::give_back_while_idle();
    process::open_all_files_allowed();
    // One TLS provider for whatever asks for the process's default. It is the first one, so this cannot fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = match cli.command {
        Command::Agent(args) => runtime.block_on(agent::run(*args, started)),
        Command::Apiserver(args) => runtime.block_on(apiserver::run(*args, started)),
        Command::Certificate(CertificateCommand::Check(args)) => certificate::check(args),
        Command::Certificate(CertificateCommand::Rotate(args)) => certificate::rotate(args),
        Command::Code(command) => compile::code(command),
        Command::Compile(args) => runtime.block_on(compile::compile(args)),
        Command::Image(command) => runtime.block_on(image::run(command)),
        Command::Inspect(args) => runtime.block_on(wasm::show(args)),
        Command::Push(args) => runtime.block_on(wasm::push(args)),
        Command::Run(args) => return runtime.block_on(run::run(*args)),
        Command::Secrets(SecretsCommand::Rotate(args)) => runtime.block_on(secrets::rotate(args)),
        Command::Token(TokenCommand::Create(args)) => runtime.block_on(token::create(args)),
        Command::Up(args) => runtime.block_on(up::run(*args, started)),
    };
    done.map(|()| ExitCode::SUCCESS)
}
