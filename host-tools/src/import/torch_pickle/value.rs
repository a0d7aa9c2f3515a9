//! What a pickle builds, without building it: values on the stack and objects
//! in a heap that refers to itself by number, so that neither a deep nor a
//! cyclic pickle makes anything here recurse.

use super::super::named_tensor::FloatType;

/// A value on the unpickler's stack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    /// Bytes, integers of more than 64 bits, text in no known encoding.
    Bytes(&'a [u8]),
    Object(ObjectId),
}

/// Number of an object in [`Heap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ObjectId(usize);

/// What a value can refer to.
#[derive(Debug)]
pub(super) enum Object<'a> {
    /// Tuple, list or set.
    Sequence(Vec<Value<'a>>),
    /// `dict`, `OrderedDict`, `defaultdict`.
    Dict(Vec<(Value<'a>, Value<'a>)>),
    /// A function or class by name, never looked up.
    Global(Global<'a>),
    Storage(Storage<'a>),
    Tensor(Box<Tensor<'a>>),
    /// An instance of a class that is not read.
    Opaque(Global<'a>),
}

/// Module and name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Global<'a> {
    pub(super) module: &'a str,
    pub(super) name: &'a str,
}

impl std::fmt::Display for Global<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

/// Numbers outside the pickle that tensors are views of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage<'a> {
    pub(super) dtype: Dtype,
    pub(super) key: &'a str,
    /// Elements, as the pickle claims.
    pub(super) len: usize,
}

/// A view of a storage, in elements.
#[derive(Debug, Clone)]
pub(super) struct Tensor<'a> {
    pub(super) storage: Storage<'a>,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) stride: Vec<usize>,
}

/// Type of a storage's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dtype {
    Float(FloatType),
    /// A type no weight has: its name, and bytes an element.
    Other(&'static str, usize),
}

impl Dtype {
    /// The type that a storage class of `torch` holds.
    pub(super) fn of_storage(class: &str) -> Option<Self> {
        Some(match class {
            "FloatStorage" => Self::Float(FloatType::F32),
            "DoubleStorage" => Self::Float(FloatType::F64),
            "HalfStorage" => Self::Float(FloatType::F16),
            "BFloat16Storage" => Self::Float(FloatType::Bf16),
            "LongStorage" => Self::Other("int64", 8),
            "IntStorage" => Self::Other("int32", 4),
            "ShortStorage" => Self::Other("int16", 2),
            "CharStorage" => Self::Other("int8", 1),
            "ByteStorage" => Self::Other("uint8", 1),
            "BoolStorage" => Self::Other("bool", 1),
            "ComplexFloatStorage" => Self::Other("complex64", 8),
            "ComplexDoubleStorage" => Self::Other("complex128", 16),
            "QInt8Storage" => Self::Other("qint8", 1),
            "QUInt8Storage" => Self::Other("quint8", 1),
            "QInt32Storage" => Self::Other("qint32", 4),
            _ => return None,
        })
    }

    /// Bytes of one element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Float(float) => float.size(),
            Self::Other(_, size) => size,
        }
    }
}

/// All objects of a pickle.
#[derive(Debug, Default)]
pub(super) struct Heap<'a> {
    objects: Vec<Object<'a>>,
}

impl<'a> Heap<'a> {
    pub(super) fn add(&mut self, object: Object<'a>) -> Value<'a> {
        self.objects.push(object);
        Value::Object(ObjectId(self.objects.len() - 1))
    }

    /// The object a value refers to; `None` for plain values.
    pub(super) fn get(&self, value: Value<'a>) -> Option<&Object<'a>> {
        let Value::Object(ObjectId(at)) = value else { return None };
        self.objects.get(at)
    }

    pub(super) fn get_mut(&mut self, value: Value<'a>) -> Option<&mut Object<'a>> {
        let Value::Object(ObjectId(at)) = value else { return None };
        self.objects.get_mut(at)
    }

    pub(super) fn sequence(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match self.get(value)? {
            Object::Sequence(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn dict(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        match self.get(value)? {
            Object::Dict(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn tensor(&self, value: Value<'a>) -> Option<&Tensor<'a>> {
        match self.get(value)? {
            Object::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    pub(super) fn global(&self, value: Value<'a>) -> Option<Global<'a>> {
        match self.get(value)? {
            Object::Global(global) => Some(*global),
            _ => None,
        }
    }

    /// Every storage that a tensor may view.
    pub(super) fn storages(&self) -> impl Iterator<Item = Storage<'a>> {
        self.objects.iter().filter_map(|object| match object {
            Object::Storage(storage) => Some(*storage),
            _ => None,
        })
    }
}
