//! How long a Pod of about five kilobytes takes to decode, beside `serde_json::Value` on the same bytes.

use std::io::Write;

use divan::AllocProfiler;
use divan::counter::BytesCount;
use wherry_schema::{FieldValidation, Format, Schemas, Value, decode, defaults};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

/// A Pod as a cluster holds it, with status.
static POD: &[u8] = include_bytes!("pod.json");

fn main() {
    divan::main();
    let figures = [
        ("decode with schema", median_micros(decoded)),
        (
            "serde_json::Value",
            median_micros(|| serde_json::from_slice::<serde_json::Value>(POD).expect("JSON")),
        ),
        ("decode and write back", median_micros(|| decoded().to_json_bytes())),
    ];
    let mut out = std::io::stdout();
    for (what, micros) in figures {
        writeln!(out, "figure: pod of {} bytes, {what}: {micros:.1} us", POD.len()).expect("stdout is open");
    }
}

/// The median time of many runs.
fn median_micros<T>(run: impl Fn() -> T) -> f64 {
    const RUNS: usize = 2_001;
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = std::time::Instant::now();
            divan::black_box_drop(run());
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}

fn decoded() -> Value {
    let schema = Schemas::builtin().kind("", "v1", "Pod").expect("Pods are served");
    decode(POD, Format::Json, schema, FieldValidation::Strict).expect("it is a Pod").0
}

#[divan::bench]
fn decode_with_schema(bencher: divan::Bencher<'_, '_>) {
    bencher.counter(BytesCount::of_slice(POD)).bench(decoded);
}

#[divan::bench]
fn parse_without_schema(bencher: divan::Bencher<'_, '_>) {
    bencher.counter(BytesCount::of_slice(POD)).bench(|| Value::from_json(POD).expect("it is JSON"));
}

#[divan::bench]
fn parse_serde_json_value(bencher: divan::Bencher<'_, '_>) {
    let parse = || serde_json::from_slice::<serde_json::Value>(POD).expect("it is JSON");
    bencher.counter(BytesCount::of_slice(POD)).bench(parse);
}

#[divan::bench]
fn write(bencher: divan::Bencher<'_, '_>) {
    let pod = decoded();
    bencher.counter(BytesCount::of_slice(POD)).bench(|| pod.to_json_bytes());
}

#[divan::bench]
fn default(bencher: divan::Bencher<'_, '_>) {
    bencher.with_inputs(decoded).bench_refs(|pod| defaults::apply(("", "v1", "Pod"), pod));
}
