//! The unpickler: interprets the opcodes that PyTorch's files are made of.
//!
//! It builds descriptions, never objects: see [`super::globals`]. Steps and
//! memory are bounded, whatever the pickle does.

use super::Refusal;
use super::globals;
use super::value::{Global, Heap, Object, Value};
use std::collections::HashMap;

/// Opcodes a pickle may have; a state dict needs some 50 a tensor.
const MAX_STEPS: usize = 1_000_000;

/// Values that calls of `OrderedDict` and the like may copy, all together.
const MAX_COPIED: usize = 1_000_000;

/// What a pickle left on its stack, the objects it refers to, and the bytes
/// after it.
#[derive(Debug)]
pub(super) struct Unpickled<'a> {
    pub(super) value: Value<'a>,
    pub(super) heap: Heap<'a>,
    pub(super) rest: &'a [u8],
}

/// Reads one pickle from the front of `bytes`.
///
/// # Errors
/// A [`Refusal`] for damaged, hostile or oversized pickles.
pub(super) fn unpickle(bytes: &[u8]) -> Result<Unpickled<'_>, Refusal> {
    let mut machine = Machine { input: bytes, ..Machine::default() };
    for _ in 0..MAX_STEPS {
        if let Some(value) = machine.step()? {
            return Ok(Unpickled { value, heap: machine.heap, rest: machine.input });
        }
    }
    Err(Refusal::new(
        format!("the pickle has more than {MAX_STEPS} steps"),
        "save the weights alone: torch.save(model.state_dict(), path)",
    ))
}

#[derive(Default)]
struct Machine<'a> {
    input: &'a [u8],
    stack: Vec<Value<'a>>,
    /// Stack heights at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    heap: Heap<'a>,
    copied: usize,
}

impl<'a> Machine<'a> {
    /// Runs one opcode; a value where the pickle ends.
    fn step(&mut self) -> Result<Option<Value<'a>>, Refusal> {
        let [opcode] = self.array()?;
        match opcode {
            b'.' => return self.pop().map(Some),
            b'\x80' => {
                let [protocol] = self.array()?;
                if !(2..=5).contains(&protocol) {
                    return Err(Refusal::damaged(format!("pickle protocol {protocol}")));
                }
            }
            // A frame's length: nothing depends on it.
            b'\x95' => drop(self.array::<8>()?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop_or_mark()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.stack.push(Value::None),
            b'\x88' => self.stack.push(Value::Bool(true)),
            b'\x89' => self.stack.push(Value::Bool(false)),
            b'J' => self.int(|b: [u8; 4]| i32::from_le_bytes(b).into())?,
            b'K' => self.int(|b: [u8; 1]| b[0].into())?,
            b'M' => self.int(|b: [u8; 2]| u16::from_le_bytes(b).into())?,
            b'\x8a' => self.long::<1>()?,
            b'\x8b' => self.long::<4>()?,
            b'G' => {
                let value = f64::from_be_bytes(self.array()?);
                self.stack.push(Value::Float(value));
            }
            b'X' | b'T' => self.text::<4>()?,
            b'\x8c' | b'U' => self.text::<1>()?,
            b'\x8d' => self.text::<8>()?,
            b'B' => self.bytes::<4>()?,
            b'C' => self.bytes::<1>()?,
            b'\x8e' | b'\x96' => self.bytes::<8>()?,
            b')' => self.sequence(Vec::new()),
            b'\x85' => self.tuple(1)?,
            b'\x86' => self.tuple(2)?,
            b'\x87' => self.tuple(3)?,
            // Tuple, list, frozenset of what is above the mark.
            b't' | b'l' | b'\x91' => {
                let items = self.pop_to_mark()?;
                self.sequence(items);
            }
            // Empty list and set.
            b']' | b'\x8f' => self.sequence(Vec::new()),
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            b'e' | b'\x90' => {
                let items = self.pop_to_mark()?;
                self.extend(items)?;
            }
            b'}' => self.add(Object::Dict(Vec::new())),
            b'd' => {
                let items = self.pop_to_mark()?;
                self.add(Object::Dict(Vec::new()));
                self.set_items(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(vec![key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(items)?;
            }
            b'c' => {
                let global = Global { module: self.line()?, name: self.line()? };
                self.global(global)?;
            }
            b'\x93' => {
                let (Value::Text(name), Value::Text(module)) = (self.pop()?, self.pop()?) else {
                    return Err(Refusal::damaged("a class whose name is no text"));
                };
                self.global(Global { module, name })?;
            }
            b'R' | b'\x81' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.call(function, arguments)?;
            }
            // A new object with keyword arguments, which no allowed class takes.
            b'\x92' => {
                let (_, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(class, arguments)?;
            }
            // The state of an instance: of no allowed class does it matter.
            b'b' => {
                self.pop()?;
                self.top()?;
            }
            b'q' => {
                let [at] = self.array()?;
                self.memo.insert(at.into(), self.top()?);
            }
            b'r' => {
                let at = u32::from_le_bytes(self.array()?);
                self.memo.insert(at, self.top()?);
            }
            b'\x94' => {
                let at = u32::try_from(self.memo.len()).unwrap_or(u32::MAX);
                self.memo.insert(at, self.top()?);
            }
            b'h' => {
                let [at] = self.array()?;
                self.recall(at.into())?;
            }
            b'j' => {
                let at = u32::from_le_bytes(self.array()?);
                self.recall(at)?;
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = globals::storage(&mut self.heap, id)?;
                self.stack.push(storage);
            }
            other => {
                return Err(Refusal::damaged(format!("pickle opcode {other:#04x}")));
            }
        }
        Ok(None)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Refusal> {
        let (taken, rest) = self.input.split_at_checked(len).ok_or_else(Refusal::truncated)?;
        self.input = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        self.take(N)?.try_into().map_err(|_| Refusal::truncated())
    }

    /// Bytes after a length of `N` bytes.
    fn sized<const N: usize>(&mut self) -> Result<&'a [u8], Refusal> {
        let mut length = [0; 8];
        length[..N].copy_from_slice(&self.array::<N>()?);
        let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX);
        self.take(length)
    }

    fn line(&mut self) -> Result<&'a str, Refusal> {
        let end = self.input.iter().position(|b| *b == b'\n').ok_or_else(Refusal::truncated)?;
        let line = self.take(end)?;
        self.take(1)?;
        std::str::from_utf8(line).map_err(|_| Refusal::damaged("a class whose name is no text"))
    }

    fn int<const N: usize>(&mut self, to: impl Fn([u8; N]) -> i64) -> Result<(), Refusal> {
        let bytes = self.array()?;
        self.stack.push(Value::Int(to(bytes)));
        Ok(())
    }

    /// A two's complement integer after its length of `N` bytes.
    fn long<const N: usize>(&mut self) -> Result<(), Refusal> {
        let bytes = self.sized::<N>()?;
        let value = if bytes.len() <= 8 {
            let negative = bytes.last().is_some_and(|b| *b >= 0x80);
            let mut filled = [if negative { 0xff } else { 0 }; 8];
            filled[..bytes.len()].copy_from_slice(bytes);
            Value::Int(i64::from_le_bytes(filled))
        } else {
            Value::Bytes(bytes)
        };
        self.stack.push(value);
        Ok(())
    }

    fn text<const N: usize>(&mut self) -> Result<(), Refusal> {
        let bytes = self.sized::<N>()?;
        let value = std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Text);
        self.stack.push(value);
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Result<(), Refusal> {
        let bytes = self.sized::<N>()?;
        self.stack.push(Value::Bytes(bytes));
        Ok(())
    }

    /// The lowest height that values may be popped down to.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Value<'a>, Refusal> {
        if self.stack.len() <= self.floor() {
            return Err(Refusal::damaged("the pickle takes more values than it made"));
        }
        self.stack.pop().ok_or_else(Refusal::truncated)
    }

    /// Pops a value, or an open mark with nothing above it.
    fn pop_or_mark(&mut self) -> Result<(), Refusal> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    fn top(&self) -> Result<Value<'a>, Refusal> {
        let above = self.stack.get(self.floor()..).and_then(<[_]>::last);
        above.copied().ok_or_else(|| Refusal::damaged("the pickle uses a value it did not make"))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>, Refusal> {
        let mark = self.marks.pop().ok_or_else(|| Refusal::damaged("the pickle has no mark"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn add(&mut self, object: Object<'a>) {
        let value = self.heap.add(object);
        self.stack.push(value);
    }

    fn sequence(&mut self, items: Vec<Value<'a>>) {
        self.add(Object::Sequence(items));
    }

    fn tuple(&mut self, len: usize) -> Result<(), Refusal> {
        let mut items = Vec::with_capacity(len);
        for _ in 0..len {
            items.push(self.pop()?);
        }
        items.reverse();
        self.sequence(items);
        Ok(())
    }

    /// Appends to the list on top; nothing is kept of instances.
    fn extend(&mut self, items: Vec<Value<'a>>) -> Result<(), Refusal> {
        let top = self.top()?;
        match self.heap.get_mut(top) {
            Some(Object::Sequence(list)) => list.extend(items),
            Some(Object::Opaque(_)) => {}
            _ => return Err(Refusal::damaged("an append to what is no list")),
        }
        Ok(())
    }

    /// Sets keys and values of the dict on top; nothing is kept of instances.
    fn set_items(&mut self, items: Vec<Value<'a>>) -> Result<(), Refusal> {
        let (pairs, odd) = items.as_chunks::<2>();
        let top = self.top()?;
        match self.heap.get_mut(top) {
            Some(Object::Dict(dict)) if odd.is_empty() => {
                dict.extend(pairs.iter().map(|[key, value]| (*key, *value)));
            }
            Some(Object::Opaque(_)) => {}
            _ => return Err(Refusal::damaged("keys set of what is no dict")),
        }
        Ok(())
    }

    fn global(&mut self, global: Global<'a>) -> Result<(), Refusal> {
        globals::check(global)?;
        self.add(Object::Global(global));
        Ok(())
    }

    fn call(&mut self, function: Value<'a>, arguments: Value<'a>) -> Result<(), Refusal> {
        let items = self.heap.sequence(arguments).unwrap_or_default();
        let len = |value: &Value<'a>| match self.heap.get(*value) {
            Some(Object::Sequence(items)) => items.len(),
            Some(Object::Dict(items)) => items.len(),
            _ => 0,
        };
        // A call copies its arguments and, at most, what the first one holds.
        self.copied += items.len() + items.first().map_or(0, len);
        if self.copied > MAX_COPIED {
            return Err(Refusal::damaged("the pickle copies one collection over and over"));
        }
        let value = globals::call(&mut self.heap, function, arguments)?;
        self.stack.push(value);
        Ok(())
    }

    fn recall(&mut self, at: u32) -> Result<(), Refusal> {
        let value = self.memo.get(&at).copied();
        let damaged = || Refusal::damaged("the pickle recalls a value it did not store");
        self.stack.push(value.ok_or_else(damaged)?);
        Ok(())
    }
}
