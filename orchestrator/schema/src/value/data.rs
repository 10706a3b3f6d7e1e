//! Values as expressions read them, in place.

use wherry_api::data::{Data, Stored};

use super::Value;

impl Data for Value {
    fn stored(&self) -> Stored<'_> {
        match self {
            Self::Null => Stored::Null,
            Self::Bool(truth) => Stored::Bool(*truth),
            Self::Int(number) => Stored::Int(*number),
            Self::Float(number) => Stored::Double(*number),
            Self::String(text) => Stored::String(text),
            Self::Array(items) => Stored::List(items.len()),
            Self::Object(fields) => Stored::Map(fields.len()),
        }
    }

    fn item(&self, at: usize) -> Option<&dyn Data> {
        self.as_array()?.get(at).map(|item| item as &dyn Data)
    }

    fn field(&self, name: &str) -> Option<&dyn Data> {
        self.get(name).map(|field| field as &dyn Data)
    }

    fn entry(&self, at: usize) -> Option<(&str, &dyn Data)> {
        let (name, field) = self.as_object()?.entry(at)?;
        Some((name, field as &dyn Data))
    }
}

#[cfg(test)]
mod tests {
    use wherry_api::data::{Data, Stored};

    use super::Value;

    #[test]
    fn values_are_read_in_place() {
        let value = Value::from_json(br#"{"b": [1, 2.5, "x"], "a": null, "c": {}}"#).expect("it is JSON");
        let list = value.field("b").expect("it has the field");
        let items: Vec<Stored<'_>> = (0..3).filter_map(|at| list.item(at)).map(Data::stored).collect();
        assert_eq!(items, [Stored::Int(1), Stored::Double(2.5), Stored::String("x")]);
        assert_eq!((value.stored(), list.stored()), (Stored::Map(3), Stored::List(3)));
        let names: Vec<&str> = (0..4).filter_map(|at| value.entry(at)).map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(value.field("d").is_none() && value.item(0).is_none() && list.field("x").is_none());
    }
}
