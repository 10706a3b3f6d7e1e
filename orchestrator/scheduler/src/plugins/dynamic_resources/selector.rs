//! What classes and requests say of the devices they want: expressions over `device`.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use k8s_openapi::api::resource::v1::{Device, DeviceAttribute};
use parking_lot::Mutex;
use wherry_api::quantity::Quantity;
use wherry_cel::{Env, Program, Text, Type, Types, Value};

/// What one look at a device may cost.
const COST: u64 = 1_000_000;
/// How many expressions are kept compiled.
const KEPT: usize = 256;

/// The type of `device`.
const DEVICE: &str = "kubernetes.DRADevice";

struct DeviceType;

impl Types for DeviceType {
    fn contains(&self, name: &str) -> bool {
        name == DEVICE
    }

    fn field(&self, name: &str, field: &str) -> Option<Type> {
        let domains = |value| Type::map(Type::String, Type::map(Type::String, value));
        match field {
            _ if name != DEVICE => None,
            "driver" => Some(Type::String),
            "attributes" => Some(domains(Type::Dyn)),
            "capacity" => Some(domains(Type::opaque("kubernetes.Quantity"))),
            _ => None,
        }
    }
}

static ENV: LazyLock<Env> =
    LazyLock::new(|| Env::devices().types(Arc::new(DeviceType)).variable("device", Type::object(DEVICE)));

/// An expression, or why it is none.
type Compiled = Arc<Result<Program, String>>;

/// Expressions that were compiled, by their text. Few classes and templates have the same for many claims.
static COMPILED: LazyLock<Mutex<HashMap<String, Compiled>>> = LazyLock::new(Mutex::default);

/// A compiled expression about devices.
pub(super) struct Selector(Compiled);

impl Selector {
    pub(super) fn new(expression: &str) -> Self {
        let mut compiled = COMPILED.lock();
        if let Some(known) = compiled.get(expression) {
            return Self(known.clone());
        }
        if compiled.len() >= KEPT {
            compiled.clear();
        }
        let new = Arc::new(compile(expression));
        compiled.insert(expression.to_owned(), new.clone());
        Self(new)
    }

    /// Whether it wants a device, or what is wrong.
    pub(super) fn matches(&self, driver: &str, device: &Device) -> Result<bool, Wrong> {
        let program = self.0.as_ref().as_ref().map_err(|issues| Wrong::Expression(issues.clone()))?;
        let value = describe(driver, device).map_err(Wrong::Device)?;
        let evaluation = program.evaluate(&[("device", value)], COST);
        let found = evaluation.result.map_err(|error| Wrong::Device(error.to_string()))?;
        found.as_bool().ok_or_else(|| Wrong::Device("the result is not a bool".to_owned()))
    }
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Itself.
    Expression(String),
    /// It cannot be asked about this device.
    Device(String),
}

fn compile(expression: &str) -> Result<Program, String> {
    let program = ENV.compile(expression).map_err(|issues| format!("compilation failed: {issues}"))?;
    match program.result_type() {
        Type::Bool | Type::Dyn => Ok(program),
        other => Err(format!("must evaluate to bool or the unknown type, not {}", other.declared())),
    }
}

/// A device as expressions see it.
fn describe<'d>(driver: &'d str, device: &'d Device) -> Result<Value<'d>, String> {
    let mut attributes = HashMap::<&str, Vec<_>>::new();
    for (name, attribute) in device.attributes.iter().flatten() {
        let (domain, id) = qualified(name, driver);
        let value = value_of(attribute).map_err(|error| format!("attribute {name}: {error}"))?;
        attributes.entry(domain).or_default().push((Text::Borrowed(id), value));
    }
    let mut capacity = HashMap::<&str, Vec<_>>::new();
    for (name, amount) in device.capacity.iter().flatten() {
        let (domain, id) = qualified(name, driver);
        let amount: Quantity = amount.value.0.parse().map_err(|error| format!("capacity {name}: {error}"))?;
        capacity.entry(domain).or_default().push((Text::Borrowed(id), Value::quantity(amount)));
    }
    let domains = |domains: HashMap<&'d str, Vec<(Text<'d>, Value<'d>)>>| {
        Value::filled_map(domains.into_iter().map(|(domain, of)| (Text::Borrowed(domain), Value::map(of))))
    };
    Ok(Value::map([
        (Text::Borrowed("driver"), Value::from(driver)),
        (Text::Borrowed("attributes"), domains(attributes)),
        (Text::Borrowed("capacity"), domains(capacity)),
    ]))
}

/// The domain, which is the driver if it is left out, and the rest of a name.
pub(super) fn qualified<'n>(name: &'n str, driver: &'n str) -> (&'n str, &'n str) {
    name.split_once('/').unwrap_or((driver, name))
}

fn value_of(attribute: &DeviceAttribute) -> Result<Value<'_>, String> {
    match attribute {
        DeviceAttribute { int: Some(number), .. } => Ok(Value::Int(*number)),
        DeviceAttribute { bool: Some(truth), .. } => Ok(Value::Bool(*truth)),
        DeviceAttribute { string: Some(text), .. } => Ok(Value::from(text.as_str())),
        DeviceAttribute { version: Some(version), .. } => {
            Value::version(version).map_err(|error| format!("parse semantic version: {error}"))
        }
        _ => Err("unsupported attribute value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn asked(expression: &str) -> Result<bool, Wrong> {
        let device = json!({
            "name": "gpu-0",
            "attributes": {
                "model": { "string": "large" }, "cores": { "int": 8 }, "ecc": { "bool": true },
                "dra.other.com/driverVersion": { "version": "1.2.3" },
            },
            "capacity": { "memory": { "value": "40Gi" } },
        });
        Selector::new(expression).matches("gpu.example.com", &serde_json::from_value(device).unwrap())
    }

    #[rstest]
    #[case::driver("device.driver == 'gpu.example.com'", true)]
    #[case::attribute("device.attributes['gpu.example.com'].model == 'large'", true)]
    #[case::number("device.attributes['gpu.example.com'].cores > 8", false)]
    #[case::truth("device.attributes['gpu.example.com'].ecc", true)]
    #[case::capacity("device.capacity['gpu.example.com'].memory.compareTo(quantity('10Gi')) >= 0", true)]
    #[case::version("device.attributes['dra.other.com'].driverVersion.isGreaterThan(semver('1.0.0'))", true)]
    #[case::bind("cel.bind(gpu, device.attributes['gpu.example.com'], gpu.ecc && gpu.cores == 8)", true)]
    #[case::no_such_domain("has(device.attributes['nobody.com'].model)", false)]
    #[case::domain_in("'gpu.example.com' in device.attributes && !('nobody.com' in device.attributes)", true)]
    #[case::all("device.attributes['gpu.example.com'].exists(name, name == 'cores')", true)]
    fn devices_are_described_as_documented(#[case] expression: &str, #[case] expected: bool) {
        assert_eq!(asked(expression), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        assert!(matches!(asked("device.nothing"), Err(Wrong::Expression(_))));
        assert!(matches!(asked("device.driver"), Err(Wrong::Expression(_))));
        let missing = asked("device.attributes['gpu.example.com'].nothing == 1");
        assert_eq!(missing, Err(Wrong::Device("no such key: nothing".to_owned())));
    }
}
