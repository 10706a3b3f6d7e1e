//! Binary operators by precedence, without recursion: operands and operators wait on stacks until what binds less
//! tightly comes.

use super::ast::Expr;
use super::lexer::Kind;
use super::parser::{MAX_DEPTH, Parsed, Parser, Reported};

/// How tightly an operator binds, and the function it is.
struct Operator {
    level: u8,
    function: &'static str,
    position: usize,
}

/// Chains of `||` and of `&&` become balanced trees, so that long ones are not deep.
const LOGICAL: u8 = 2;

fn operator(symbol: &str) -> Option<(u8, &'static str)> {
    Some(match symbol {
        "||" => (1, "_||_"),
        "&&" => (LOGICAL, "_&&_"),
        "==" => (3, "_==_"),
        "!=" => (3, "_!=_"),
        "<" => (3, "_<_"),
        "<=" => (3, "_<=_"),
        ">=" => (3, "_>=_"),
        ">" => (3, "_>_"),
        "in" => (3, "@in"),
        "+" => (4, "_+_"),
        "-" => (4, "_-_"),
        "*" => (5, "_*_"),
        "/" => (5, "_/_"),
        "%" => (5, "_%_"),
        _ => return None,
    })
}

impl Parser<'_> {
    /// Operands with binary operators between them.
    pub(super) fn operation(&mut self) -> Parsed {
        let first = self.unary()?;
        if self.next_operator().is_none() {
            return Ok(first);
        }
        let (mut operands, mut operators) = (vec![first], Vec::<Operator>::new());
        while let Some((level, function)) = self.next_operator() {
            let position = self.next().start;
            while operators
                .last()
                .is_some_and(|top| top.level > level || (top.level == level && level > LOGICAL))
            {
                self.reduce(&mut operands, &mut operators)?;
            }
            operators.push(Operator { level, function, position });
            operands.push(self.unary()?);
        }
        while !operators.is_empty() {
            self.reduce(&mut operands, &mut operators)?;
        }
        Ok(operands.pop().expect("an operation reduces to one operand"))
    }

    fn next_operator(&self) -> Option<(u8, &'static str)> {
        if let Kind::Symbol(symbol) = self.peek().kind { operator(symbol) } else { None }
    }

    /// Applies the last operator, or the last chain of the same logical operator.
    fn reduce(
        &mut self,
        operands: &mut Vec<(Expr, usize)>,
        operators: &mut Vec<Operator>,
    ) -> Result<(), Reported> {
        let level = operators.last().map_or(0, |last| last.level);
        let chain = operators.iter().rev().take_while(|operator| operator.level == level).count();
        let count = if level <= LOGICAL { chain } else { 1 };
        let applied = operators.split_off(operators.len() - count);
        let terms = operands.split_off(operands.len() - count - 1);
        let depth = terms.iter().map(|(_, depth)| *depth).max().unwrap_or_default();
        let levels = usize::try_from((count + 1).next_power_of_two().ilog2()).unwrap_or(MAX_DEPTH);
        let depth = self.deeper(depth + levels - 1)?;
        let mut terms = terms.into_iter().map(|(term, _)| term);
        operands.push((self.balance(&mut terms, &applied), depth));
        Ok(())
    }

    fn balance(&mut self, terms: &mut impl Iterator<Item = Expr>, operators: &[Operator]) -> Expr {
        let Some(middle) = operators.len().checked_sub(1).map(|last| last / 2) else {
            return terms.next().expect("there is one term more than operators");
        };
        let left = self.balance(terms, &operators[..middle]);
        let right = self.balance(terms, &operators[middle + 1..]);
        let Operator { function, position, .. } = operators[middle];
        self.call(position, function, vec![left, right])
    }
}
