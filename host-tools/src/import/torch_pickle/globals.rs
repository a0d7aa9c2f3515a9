//! The functions and classes a pickle may name, and what calling them makes.
//! Nothing is looked up and nothing runs: a call of anything else gives an
//! opaque value, which no weight can come from.

use super::Refusal;
use super::value::{Dtype, Global, Heap, Object, Storage, Tensor, Value};

/// Dimensions a tensor may have.
const MAX_DIMS: usize = 16;

/// Refuses a pickle that names something whose only use is to run code.
///
/// # Errors
/// The name, and that the file is hostile.
pub(super) fn check(global: Global<'_>) -> Result<(), Refusal> {
    const HARMLESS_BUILTINS: [&str; 14] = [
        "bool",
        "bytearray",
        "bytes",
        "complex",
        "dict",
        "float",
        "frozenset",
        "int",
        "list",
        "object",
        "range",
        "set",
        "str",
        "tuple",
    ];
    const RUNNERS: [&str; 27] = [
        "os",
        "posix",
        "nt",
        "subprocess",
        "sys",
        "runpy",
        "importlib",
        "pty",
        "socket",
        "shutil",
        "webbrowser",
        "ctypes",
        "marshal",
        "code",
        "pickle",
        "_pickle",
        "pydoc",
        "timeit",
        "pdb",
        "bdb",
        "cProfile",
        "profile",
        "commands",
        "platform",
        "imp",
        "operator",
        "asyncio",
    ];
    let root = global.module.split('.').next().unwrap_or_default();
    let builtin = matches!(root, "builtins" | "__builtin__");
    // A protocol 4 name may be a path: `int.__class__`.
    let hostile =
        if builtin { !HARMLESS_BUILTINS.contains(&global.name) } else { RUNNERS.contains(&root) };
    if hostile {
        return Err(Refusal::new(
            format!("the pickle calls `{global}`, which would run code on your machine"),
            "do not load this file with PyTorch either; get the model from a trusted source as .safetensors",
        ));
    }
    Ok(())
}

/// The value of `function(*arguments)`.
pub(super) fn call<'a>(
    heap: &mut Heap<'a>,
    function: Value<'a>,
    arguments: Value<'a>,
) -> Result<Value<'a>, Refusal> {
    let Some(function) = heap.global(function) else {
        // An instance called, or a class that an opaque call returned.
        let class = match heap.get(function) {
            Some(Object::Opaque(class)) => *class,
            _ => Global { module: "", name: "a value" },
        };
        return Ok(heap.add(Object::Opaque(class)));
    };
    let items = heap.sequence(arguments).unwrap_or_default().to_vec();
    let object = match (function.module, function.name) {
        ("collections", "OrderedDict") | ("builtins" | "__builtin__", "dict") => {
            Object::Dict(pairs(heap, items.first().copied()))
        }
        ("collections", "defaultdict") => Object::Dict(Vec::new()),
        ("torch", "Size")
        | ("builtins" | "__builtin__", "tuple" | "list" | "set" | "frozenset") => {
            let items = items.first().and_then(|list| heap.sequence(*list));
            Object::Sequence(items.unwrap_or_default().to_vec())
        }
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
            return Ok(items.first().copied().unwrap_or(Value::None));
        }
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => {
            Object::Tensor(Box::new(tensor(heap, &items)?))
        }
        _ => Object::Opaque(function),
    };
    Ok(heap.add(object))
}

/// The storage that a persistent id names: `('storage', class, key, device,
/// elements)`.
pub(super) fn storage<'a>(heap: &mut Heap<'a>, id: Value<'a>) -> Result<Value<'a>, Refusal> {
    let parts = heap.sequence(id).unwrap_or_default().to_vec();
    let (Some(Value::Text("storage")), Some(class), Some(Value::Text(key))) =
        (parts.first(), parts.get(1), parts.get(2))
    else {
        return Err(Refusal::damaged("a persistent id that names no storage"));
    };
    let class = heap.global(*class);
    let dtype = class.and_then(|class| match class.module {
        "torch" | "torch.storage" => Dtype::of_storage(class.name),
        _ => None,
    });
    let Some(dtype) = dtype else {
        let class = class.unwrap_or(Global { module: "", name: "storage" });
        return Ok(heap.add(Object::Opaque(class)));
    };
    let Some(Value::Int(len)) = parts.get(4) else {
        return Err(Refusal::damaged("a storage without a length"));
    };
    let len =
        usize::try_from(*len).map_err(|_| Refusal::damaged("a storage of negative length"))?;
    if parts.get(5).is_some_and(|view| *view != Value::None) {
        return Err(Refusal::new(
            "a storage that is a view of another, as PyTorch before 0.4 wrote them",
            "load and save the state dict with a PyTorch of version 1.6 or later",
        ));
    }
    Ok(heap.add(Object::Storage(Storage { dtype, key, len })))
}

/// `(storage, offset, size, stride, …)`, in elements.
fn tensor<'a>(heap: &Heap<'a>, arguments: &[Value<'a>]) -> Result<Tensor<'a>, Refusal> {
    let [storage, Value::Int(offset), size, stride, ..] = arguments else {
        return Err(Refusal::damaged("a tensor without storage, offset, size and stride"));
    };
    let Some(Object::Storage(storage)) = heap.get(*storage) else {
        return Err(Refusal::damaged("a tensor that views no storage"));
    };
    let lengths = |value: &Value<'a>| {
        let items = heap.sequence(*value).filter(|items| items.len() <= MAX_DIMS)?;
        let length = |item: &Value<'a>| match item {
            Value::Int(n) => usize::try_from(*n).ok(),
            _ => None,
        };
        items.iter().map(length).collect::<Option<Vec<usize>>>()
    };
    let damaged = || Refusal::damaged("a tensor whose size, stride or offset is no number");
    let shape = lengths(size).ok_or_else(damaged)?;
    let stride = lengths(stride).ok_or_else(damaged)?;
    let offset = usize::try_from(*offset).map_err(|_| damaged())?;
    if shape.len() != stride.len() {
        return Err(Refusal::damaged("a tensor with more dimensions than strides"));
    }
    Ok(Tensor { storage: *storage, offset, shape, stride })
}

/// The items of `OrderedDict([(key, value), …])`.
fn pairs<'a>(heap: &Heap<'a>, list: Option<Value<'a>>) -> Vec<(Value<'a>, Value<'a>)> {
    let Some(list) = list else { return Vec::new() };
    if let Some(items) = heap.dict(list) {
        return items.to_vec();
    }
    let pair = |item: &Value<'a>| match heap.sequence(*item)? {
        [key, value] => Some((*key, *value)),
        _ => None,
    };
    heap.sequence(list).unwrap_or_default().iter().filter_map(pair).collect()
}
