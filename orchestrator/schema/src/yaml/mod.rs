//! Values as YAML, byte for byte as Go's writer of YAML 1.1 puts them: blocks, keys in natural order, long texts folded.
//!
//! Reading order: `resolve` (texts that mean something else when they are not quoted), `scalar` (how a text can be
//! written), `order` (which key comes first), and the writer here.

mod order;
mod resolve;
mod scalar;
#[cfg(test)]
mod tests;

use crate::value::{Object, Value};
use scalar::{Analysis, Style};

/// How much deeper each level is.
const STEP: usize = 2;
/// Texts are folded at spaces behind this column.
const WIDTH: usize = 80;
/// Keys that are longer are written as blocks of their own.
const LONGEST_KEY: usize = 128;

/// A value as YAML.
pub fn to_yaml(value: &Value) -> String {
    let mut writer = Writer::default();
    writer.node(value, false);
    writer.indent_to(0);
    writer.out
}

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Key,
    Value,
}

/// What was written so far.
struct Writer {
    out: String,
    column: usize,
    /// Whether the last that was written separates what comes next from what was before.
    after_space: bool,
    /// Whether nothing but what makes blocks was written in the line.
    fresh: bool,
    /// How deep the block is; none outside of all.
    indent: Option<usize>,
}

impl Default for Writer {
    fn default() -> Self {
        Self { out: String::new(), column: 0, after_space: true, fresh: true, indent: None }
    }
}

impl Writer {
    fn node(&mut self, value: &Value, in_mapping: bool) {
        match value {
            Value::Null => self.plain("null", Place::Value),
            Value::Bool(flag) => self.plain(if *flag { "true" } else { "false" }, Place::Value),
            Value::Int(number) => self.plain(&number.to_string(), Place::Value),
            Value::Float(number) => self.plain(&scalar::float(*number), Place::Value),
            Value::String(text) => self.text(text, Place::Value),
            Value::Array(items) if items.is_empty() => self.empty("[", "]"),
            Value::Array(items) => self.sequence(items, in_mapping),
            Value::Object(fields) if fields.is_empty() => self.empty("{", "}"),
            Value::Object(fields) => self.mapping(fields),
        }
    }

    fn empty(&mut self, open: &str, close: &str) {
        self.indicator(open, false);
        self.put(close);
    }

    fn mapping(&mut self, fields: &Object) {
        let outside = self.deepen(false);
        for (key, value) in order::sorted(fields) {
            self.indent();
            if key.len() <= LONGEST_KEY && !scalar::has_breaks(key) {
                self.text(key, Place::Key);
                self.put(":");
                (self.after_space, self.fresh) = (false, false);
            } else {
                self.indicator("?", true);
                self.text(key, Place::Value);
                self.indent();
                self.indicator(":", true);
            }
            self.node(value, true);
        }
        self.indent = outside;
    }

    /// Items of a list in a mapping are not deeper than the mapping's keys.
    fn sequence(&mut self, items: &[Value], in_mapping: bool) {
        let outside = self.deepen(in_mapping && !self.fresh);
        for item in items {
            self.indent();
            self.indicator("-", true);
            self.node(item, false);
        }
        self.indent = outside;
    }

    /// Begins a block; answers how deep the one around it is.
    fn deepen(&mut self, as_deep: bool) -> Option<usize> {
        let outside = self.indent;
        self.indent = Some(match outside {
            None => 0,
            Some(depth) if as_deep => depth,
            Some(depth) => depth + STEP,
        });
        outside
    }

    /// Writes a text that needs no quotes to be what it is meant to be.
    fn plain(&mut self, text: &str, place: Place) {
        self.styled(text, Style::Plain, place);
    }

    fn text(&mut self, text: &str, place: Place) {
        let style = match text {
            _ if text.contains('\n') => Style::Literal,
            _ if resolve::is_text(text) => Style::Plain,
            _ => Style::Double,
        };
        self.styled(text, style, place);
    }

    fn styled(&mut self, text: &str, wanted: Style, place: Place) {
        let style = Analysis::of(text).style(wanted, place == Place::Key);
        let outside = self.indent;
        self.indent = Some(outside.map_or(STEP, |depth| depth + STEP));
        match style {
            Style::Plain => self.folded(text, "", place),
            Style::Single => self.folded(&text.replace('\'', "''"), "'", place),
            Style::Double => self.folded(&scalar::escaped(text), "\"", place),
            Style::Literal => self.literal(text),
        }
        self.indent = outside;
    }

    /// Writes a text in quotes or without. Outside of keys, it is folded at single spaces.
    fn folded(&mut self, text: &str, quote: &str, place: Place) {
        if !self.after_space {
            self.put(" ");
        }
        self.put(quote);
        let mut after_space = false;
        let mut rest = text.chars().peekable();
        let mut is_first = true;
        while let Some(letter) = rest.next() {
            let is_inner = quote.is_empty() || (!is_first && rest.peek().is_some());
            if letter == ' ' {
                let folds = place == Place::Value && !after_space && self.column > WIDTH && is_inner;
                let more = rest.peek() == Some(&' ');
                if folds && (quote == "\"" || !more) {
                    self.indent();
                    if more {
                        self.put("\\");
                    }
                } else {
                    self.put(" ");
                }
            } else {
                self.put(letter.encode_utf8(&mut [0; 4]));
                self.fresh = false;
            }
            after_space = letter == ' ';
            is_first = false;
        }
        self.put(quote);
        (self.after_space, self.fresh) = (false, false);
    }

    /// Writes a text of several lines as they are.
    fn literal(&mut self, text: &str) {
        self.indicator("|", false);
        self.put(&scalar::block_hints(text));
        self.line();
        self.fresh = true;
        self.after_space = true;
        let mut begins = true;
        for letter in text.chars() {
            if scalar::is_break(letter) {
                if letter == '\n' {
                    self.line();
                } else {
                    self.put(letter.encode_utf8(&mut [0; 4]));
                    self.column = 0;
                }
                self.fresh = true;
                begins = true;
                continue;
            }
            if begins {
                self.indent();
            }
            self.put(letter.encode_utf8(&mut [0; 4]));
            self.fresh = false;
            begins = false;
        }
    }

    /// Writes what says what comes next; `begins` if a block may begin in the same line.
    fn indicator(&mut self, text: &str, begins: bool) {
        if !self.after_space {
            self.put(" ");
        }
        self.put(text);
        self.after_space = false;
        self.fresh &= begins;
    }

    /// Goes to where lines of the block begin: in this line if only what makes blocks is there, or in a new one.
    fn indent(&mut self) {
        self.indent_to(self.indent.unwrap_or(0));
    }

    fn indent_to(&mut self, column: usize) {
        if !self.fresh || self.column > column || (self.column == column && !self.after_space) {
            self.line();
        }
        while self.column < column {
            self.put(" ");
        }
        (self.after_space, self.fresh) = (true, true);
    }

    fn line(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }
}
