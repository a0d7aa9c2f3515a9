//! FlatBuffers, read without trust: every offset is checked where it is followed.
//!
//! The `flatbuffers` crate reads tables through `unsafe`, which this workspace keeps to the
//! device's kernels; a reader that checks as it goes needs neither that nor a pass that verifies
//! first. Called by `schema`, which knows what the tables mean.

/// The file ends inside of what is read, or an offset leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged;

type Result<T> = std::result::Result<T, Damaged>;

/// A table: fields found through its vtable.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    file: &'a [u8],
    /// Where the table begins.
    at: usize,
    /// Its vtable, behind the two lengths.
    vtable: &'a [u8],
}

/// A number as it lies in the file, little-endian.
pub(super) trait Number: Sized + Copy {
    /// Bytes.
    const SIZE: usize;
    /// The number in `bytes`, which hold `SIZE`.
    fn read(bytes: &[u8]) -> Option<Self>;
}

macro_rules! number {
    ($($type:ty)*) => { $(
        impl Number for $type {
            const SIZE: usize = size_of::<$type>();
            fn read(bytes: &[u8]) -> Option<Self> {
                Some(<$type>::from_le_bytes(bytes.try_into().ok()?))
            }
        }
    )* };
}
number!(i8 u8 u16 i32 u32 f32 i64 u64);

fn bytes(file: &[u8], at: usize, len: usize) -> Result<&[u8]> {
    file.get(at..at.checked_add(len).ok_or(Damaged)?).ok_or(Damaged)
}

fn number<T: Number>(file: &[u8], at: usize) -> Result<T> {
    T::read(bytes(file, at, T::SIZE)?).ok_or(Damaged)
}

/// Where the offset at `at` leads.
fn follow(file: &[u8], at: usize) -> Result<usize> {
    at.checked_add(number::<u32>(file, at)? as usize).ok_or(Damaged)
}

impl<'a> Table<'a> {
    /// The root of a file.
    pub(super) fn root(file: &'a [u8]) -> Result<Self> {
        Self::at(file, follow(file, 0)?)
    }

    fn at(file: &'a [u8], at: usize) -> Result<Self> {
        let back = i64::from(number::<i32>(file, at)?);
        let vtable = i64::try_from(at).map_err(|_| Damaged)? - back;
        let vtable = usize::try_from(vtable).map_err(|_| Damaged)?;
        let len = usize::from(number::<u16>(file, vtable)?);
        let vtable = bytes(file, vtable, len)?.get(4..).ok_or(Damaged)?;
        Ok(Self { file, at, vtable })
    }

    /// Where field number `field` lies; `None` where the file leaves it out.
    fn field(&self, field: usize) -> Result<Option<usize>> {
        let Some(entry) = self.vtable.get(2 * field..2 * field + 2) else { return Ok(None) };
        match u16::read(entry).ok_or(Damaged)? {
            0 => Ok(None),
            offset => self.at.checked_add(offset.into()).map(Some).ok_or(Damaged),
        }
    }

    /// A number, `default` where it is left out.
    pub(super) fn number<T: Number>(&self, field: usize, default: T) -> Result<T> {
        self.field(field)?.map_or(Ok(default), |at| number(self.file, at))
    }

    /// A table of its own.
    pub(super) fn table(&self, field: usize) -> Result<Option<Self>> {
        let Some(at) = self.field(field)? else { return Ok(None) };
        Self::at(self.file, follow(self.file, at)?).map(Some)
    }

    /// A vector's elements as bytes, `size` each, and how many they are.
    fn vector(&self, field: usize, size: usize) -> Result<(usize, &'a [u8])> {
        let Some(at) = self.field(field)? else { return Ok((0, &[])) };
        let at = follow(self.file, at)?;
        let len = (number::<u32>(self.file, at)? as usize).checked_mul(size).ok_or(Damaged)?;
        Ok((at + 4, bytes(self.file, at + 4, len)?))
    }

    /// Bytes; none where they are left out.
    pub(super) fn bytes(&self, field: usize) -> Result<&'a [u8]> {
        Ok(self.vector(field, 1)?.1)
    }

    /// Text, with replacements where it is none.
    pub(super) fn text(&self, field: usize) -> Result<String> {
        Ok(String::from_utf8_lossy(self.bytes(field)?).into_owned())
    }

    /// Numbers; none where they are left out.
    pub(super) fn numbers<T: Number>(&self, field: usize) -> Result<Vec<T>> {
        let (_, bytes) = self.vector(field, T::SIZE)?;
        bytes.chunks_exact(T::SIZE).map(|bytes| T::read(bytes).ok_or(Damaged)).collect()
    }

    /// Tables; none where they are left out.
    pub(super) fn tables(&self, field: usize) -> Result<Vec<Self>> {
        let (start, bytes) = self.vector(field, 4)?;
        (start..start + bytes.len())
            .step_by(4)
            .map(|at| Self::at(self.file, follow(self.file, at)?))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root table with one number, one left out, and three bytes.
    const FILE: [u8; 36] = [
        16, 0, 0, 0, 0, 0, 10, 0, 12, 0, 4, 0, 0, 0, 8, 0, // root offset, vtable
        10, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0,
        0, // table at 16: back to 6, 7, vector at 32
        3, 0, 0, 0,
    ];

    #[test]
    fn fields_and_what_is_left_out() {
        let mut file = FILE.to_vec();
        assert_eq!(Table::root(&file).unwrap().bytes(2), Err(Damaged), "the vector is cut off");
        file.extend([1, 2, 3]);
        let table = Table::root(&file).unwrap();
        assert_eq!(table.number(0, 0i32), Ok(7));
        assert_eq!(table.number(1, 5i32), Ok(5));
        assert_eq!(table.bytes(2), Ok(&[1u8, 2, 3][..]));
        assert_eq!(table.numbers::<i64>(2), Err(Damaged));
        assert_eq!(table.bytes(9), Ok(&[][..]));
        for len in 0..20 {
            assert!(Table::root(&file[..len]).is_err(), "{len}");
        }
    }
}
