//! What four typical validation rules cost on a Deployment, beside the `cel` crate on the same rules and object.
//!
//! `cargo bench -p wherry-cel --bench rules` prints `figure: name = value unit, baseline ...`, medians of many runs.

use std::hint::black_box;
use std::io::Write;

use wherry_cel::{Data, Env, Program, Stored, Type, Value};

const RULES: [&str; 4] = [
    "self.spec.replicas >= 1 && self.spec.replicas <= 10",
    "has(self.metadata.labels) && self.metadata.labels.all(k, k.startsWith('app') && size(self.metadata.labels[k]) <= 63)",
    "self.spec.containers.all(c, has(c.image) && c.image.matches('^[a-z0-9./-]+:[a-z0-9.]+$'))",
    "self.spec.strategy in ['Recreate', 'RollingUpdate'] && self.metadata.name == oldSelf.metadata.name",
];

const OBJECT: &str = r#"{
    "metadata": {"name": "web", "labels": {"app": "web", "app.kubernetes.io/name": "web", "app.kubernetes.io/part-of": "shop"}},
    "spec": {"replicas": 3, "strategy": "RollingUpdate", "containers": [
        {"name": "web", "image": "registry.example/web:1.2", "ports": [{"containerPort": 80}]},
        {"name": "log", "image": "registry.example/log:3.4.5"},
        {"name": "mesh", "image": "registry.example/mesh:2.0"}
    ]}
}"#;

/// A JSON value as the API server holds it: objects as sorted vectors.
enum Json {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    String(String),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(truth) => Self::Bool(truth),
            serde_json::Value::Number(number) => {
                number.as_i64().map_or_else(|| Self::Double(number.as_f64().unwrap_or_default()), Self::Int)
            }
            serde_json::Value::String(text) => Self::String(text),
            serde_json::Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            serde_json::Value::Object(fields) => {
                let mut fields: Vec<_> =
                    fields.into_iter().map(|(name, value)| (name, value.into())).collect();
                fields.sort_by(|a: &(String, Json), b| a.0.cmp(&b.0));
                Self::Map(fields)
            }
        }
    }
}

impl Data for Json {
    fn stored(&self) -> Stored<'_> {
        match self {
            Self::Null => Stored::Null,
            Self::Bool(truth) => Stored::Bool(*truth),
            Self::Int(number) => Stored::Int(*number),
            Self::Double(number) => Stored::Double(*number),
            Self::String(text) => Stored::String(text),
            Self::List(items) => Stored::List(items.len()),
            Self::Map(fields) => Stored::Map(fields.len()),
        }
    }

    fn item(&self, at: usize) -> Option<&dyn Data> {
        let Self::List(items) = self else { return None };
        items.get(at).map(|item| item as &dyn Data)
    }

    fn field(&self, name: &str) -> Option<&dyn Data> {
        let Self::Map(fields) = self else { return None };
        let at = fields.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        Some(&fields[at].1)
    }

    fn entry(&self, at: usize) -> Option<(&str, &dyn Data)> {
        let Self::Map(fields) = self else { return None };
        fields.get(at).map(|(name, value)| (name.as_str(), value as &dyn Data))
    }
}

fn main() {
    let object: serde_json::Value = serde_json::from_str(OBJECT).expect("it is JSON");
    let data = Json::from(object.clone());
    let env = Env::kubernetes().variable("self", Type::Dyn).variable("oldSelf", Type::Dyn);
    let ours: Vec<Program> = RULES.iter().map(|rule| env.compile(rule).expect("it is a rule")).collect();
    let theirs: Vec<cel::Program> =
        RULES.iter().map(|rule| cel::Program::compile(rule).expect("it is a rule")).collect();

    let evaluate = median_micros(|| evaluate(&ours, &data));
    let baseline = median_micros(|| evaluate_theirs(&theirs, &object));
    figure("cel_evaluate_4_rules", evaluate, baseline);
    let compile = median_micros(|| RULES.map(|rule| env.compile(rule).expect("it is a rule")));
    let baseline = median_micros(|| RULES.map(|rule| cel::Program::compile(rule).expect("it is a rule")));
    figure("cel_compile_4_rules", compile, baseline);
}

fn figure(name: &str, value: f64, baseline: f64) {
    writeln!(std::io::stdout(), "figure: {name} = {value:.2} us, baseline cel 0.15 {baseline:.2} us")
        .expect("stdout is open");
}

fn evaluate(rules: &[Program], data: &Json) {
    for rule in rules {
        let variables = [
            ("self", Value::view(data, None).expect("an object can be read")),
            ("oldSelf", Value::view(data, None).expect("an object can be read")),
        ];
        let evaluation = rule.evaluate(&variables, 1_000_000);
        assert_eq!(evaluation.result.expect("the rules cannot fail").as_bool(), Some(true));
    }
}

/// The object is converted once for all rules, as it has to be.
fn evaluate_theirs(rules: &[cel::Program], object: &serde_json::Value) {
    let mut context = cel::Context::default();
    context.add_variable("self", object).expect("an object can be converted");
    context.add_variable("oldSelf", object).expect("an object can be converted");
    for rule in rules {
        assert_eq!(rule.execute(&context).expect("the rules cannot fail"), cel::Value::Bool(true));
    }
}

/// The median time of many runs.
fn median_micros<T>(run: impl Fn() -> T) -> f64 {
    const RUNS: usize = 2_001;
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = std::time::Instant::now();
            black_box(run());
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}
