//! Constants that some functions are given: patterns, durations and timestamps that can never work are refused.

use crate::regexes;
use crate::source::Issues;
use crate::syntax::ast::{Ast, Expr, Kind};
use crate::value::Time;
use crate::value::time::parse_duration;

pub(super) fn check(ast: &Ast, issues: &mut Issues) {
    visit(&ast.root, &mut |function, arg| {
        let Some(text) = arg.as_str() else { return };
        let works = match function {
            "matches" => regexes::compile(text).is_ok(),
            "duration" => parse_duration(text).is_ok(),
            "timestamp" => Time::parse(text).is_some(),
            _ => true,
        };
        if !works {
            issues.report(ast.positions[arg.id], format!("invalid {function} argument"));
        }
    });
}

/// Shows every call by its function and its pattern or only argument.
fn visit<'e>(expr: &'e Expr, see: &mut dyn FnMut(&'e str, &'e Expr)) {
    if let Kind::Call { function, args, .. } = &expr.kind
        && let Some(last) = args.last()
    {
        see(function, last);
    }
    expr.children(&mut |child| visit(child, see));
}
