"""Asks NumPy what it thinks of header texts and dtypes: `headers.py` prints a JSON object a line.

For a header: `version`, `text` (base64 of the bytes behind the length), and `accepted`: null, or what
NumPy read: `descr`, `shape`, `fortran_order`. For a dtype: `dtype`, and `accepted`: null or its
`descr` and `itemsize`.
"""

import base64
import io
import json
import struct
import warnings

import numpy as np

GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"

DTYPES = """
<f4 >f4 =f4 |f4 f4 float32 float64 d f g e ? b B h H i I l L q Q p P n N F D G c S U V M m O object
bool bool_ int int8 int16 int32 int64 uint8 uint16 uint32 uint64 float float16 float128 longdouble half
single double complex complex64 complex128 complex256 csingle cdouble clongdouble str str_ bytes bytes_ void
unicode int_ uint intc uintc intp uintp byte ubyte short ushort long ulong longlong ulonglong object_
<i1 >i1 |i1 <u1 <i2 |i2 >i4 <i8 >u8 <i3 <i16 <f2 <f3 <f8 <f16 <f1 <c8 <c4 <c16 <c32 <c64 |b1 <b1 b2 |b8
S5 |S5 <S5 >S5 S0 S U0 <U0 U5 >U7 |U3 V7 |V7 <V2 >V2 V0 V a5 S-1 S05 U1x <q9 q8 z x9 Sx f4x float33
<M8 >M8 M8 m8 M8[s] <M8[s] >M8[25s] <m8[100ms] M8[1s] M8[0s] M8[-1s] M8[generic] M8[2generic] M8[B] M8[D] M8[W]
M8[Y] M8[M] M8[h] M8[m] M8[us] M8[ns] M8[ps] M8[fs] M8[as] M8[x] M8[] M8[s M8s] M4[s] |M8[s] datetime64 timedelta64
datetime64[s] timedelta64[5D] <datetime64[s] datetime64[] m8[2147483647s] m8[2147483648s] T StringDType
f4,f4 i4,f8,S3 <i2,>i2 f4, 3f4 (2,3)f4 (2,3)f4,u1 2i4,(3,)u1 ,f4 f4,,f4 f4;f4 f4,O 0f4 1f4,u1 (1,)f4,i2 ()f4,i2 <(2,)i4,u1
float64,int32 M8[s],u1 (2,f4 2)f4 f4\tf4 M[s] m[s] <M >m M[] f4,02i4 f4,(,)i4 f4,()i4 f4,(2,)i4 f4,(2)i4 f4,((2))i4 f4,2,3i4
""".split()
DTYPES += ["", " ", "<", ">", "|", "=", " f4", "f4 ", "f4, u1", "< f4", "f4,2 i4", "f4, ( 2, 3 ) i4", "f4,(2 3)i4", "f4,2 3i4", "S 5", "S+5", "M8[ 5s]", "M8[+5s]", "<\u00e9", "日本", "f4\n", "V2147483647", "V2147483648", "U536870911", "U536870912", "S99999999999"]

DESCRS = [
    "[('a', '<i4')]", "[('a', '<i4'), ('b', '<f4', (3,))]", "[('a', '<i4', 4)]", "[('a', '<i4', ())]", "[['a', '<i4']]",
    "(('a', '<i4'),)", "[('a', '<i4', [2])]", "[('a', '<i4', (2.0,))]", "[('a', '<i4', -1)]", "[('a', '<i4', (-1,))]",
    "[('a', '<i4', (0,))]", "[('a', '<i4', 0)]", "[('a', '<i4', 1)]", "[('a', '<i4', (1,))]", "[('a', '<i4', '2')]",
    "[(('t', 'a'), '<i4')]", "[(('t', 'a'), '<i4'), ('t', 'u1')]", "[(('a', 'a'), '<i4')]", "[(['t', 'a'], '<i4')]",
    "[('a', '<i4'), ('a', '<f4')]", "[('', '|V4'), ('a', '<i4')]", "[('', '|V4'), ('', '|V3'), ('a', '<i4'), ('', '|V1')]",
    "[('', '<i4')]", "[('', '<i4'), ('', '<f4')]", "[('', '|V0')]", "[]", "()", "[()]", "[('a',)]", "['a']", "['ab']",
    "[('a', '<i4', 2, 3)]", "[(1, '<i4')]", "[(b'a', '<i4')]", "[(None, '<i4')]", "[('a', None)]", "None", "3", "True", "1.5",
    "b'<f4'", "{'names': ['a'], 'formats': ['<i4']}", "('<f4', (2,))", "('<f4', 2)", "('<f4', ())", "['<f4', '<i4']",
    "[('a', [('b', '<i4'), ('c', 'u1')])]", "[('a', [('b', '<i4')], (2,))]", "[('a', ('<f8', (5,)), (2,))]",
    "[('a', '|O')]", "'|O'", "'O'", "[('a', [('b', 'O')])]", "[('a', 'f4,f4')]", "[('a', 'float32')]", "[('é', '<i4')]",
    "[('a\\x00b', '<i4')]", "[('a b', '<i4')]", "[('a', '|V4')]", "[('a', '|V0')]", "[('a', '<M8[25s]')]",
    "[" + "('a', " * 40 + "'<i4'" + ")" * 40 + "]", "[('a', " * 30 + "'<i4'" + ")]" * 30, "(" * 30 + "'<f4'" + ")" * 30,
]

VALUES = [
    "(2, 3)", "(2,3,)", "( 2 , 3 )", "(2\n,\n3)", "(6,)", "(6)", "6", "()", "[2, 3]", "(2.0, 3)", "(2, True)", "(-1, 3)", "(2, -3)",
    "(+2, 3)", "(0x2, 3)", "(0b10, 0o3)", "(0X2, 0B11)", "(02, 3)", "(00, 3)", "(2L, 3L)", "(2l, 3)", "(1+1, 3)", "(2e0, 3)", "(--2, 3)",
    "(1_0, 3)", "(1__0, 3)", "(_1, 3)", "(0x_a, 1)", "(0x, 3)", "(2, 3) # comment", "(2, # comment\n 3)", "(2, 3", "2, 3)", "(2 3)",
    "(2,, 3)", "(,)", "(2, 3))", "((2), (3))", "((2,), 3)", "{2, 3}", "(2, 3)[0]", "tuple((2, 3))", "None", "'(2, 3)'", "np.int64(3)",
    "(9223372036854775807, 3)", "(9223372036854775808,)", "(0, 9223372036854775807)", "(4294967296, 4294967296)", "(0, 4294967296, 4294967296)",
    "(" + "1, " * 64 + ")", "(" + "1, " * 65 + ")", "(2, '3')", "(2, None)", "(2j, 3)", "(2, 3,\\\n)", "(2, \\ 3)", "(2\f, 3)", "(~2, 3)", "(-(-2), 3)", "(+(2), 3)",
    "(-(2), 3)", "(+ 2, 3)", "(+((2)), 3)", "(+(+2), 3)", "{[]: 1}, 'shape': (2, 3)", "{(): 1}, 'shape': (2, 3)", "{([],): 1}, 'shape': (2, 3)", "{{}: 1}, 'shape': (2, 3)",
]

BOOLS = ["False", "True", "0", "1", "None", "'False'", "false", "not True", "(False)", "False,", "[False]", "True or False"]

STRINGS = [
    "'<f4'", '"<f4"', "u'<f4'", "U'<f4'", "r'<f4'", "R'<f4'", "b'<f4'", "f'<f4'", "'''<f4'''", '"""<f4"""', "'<' 'f4'", "'<'\n'f4'", "'<' u\"f4\"",
    "'<' b'f4'", "'\\x3cf4'", "'\\u003cf4'", "'\\U0000003cf4'", "'\\74f4'", "'\\N{LESS-THAN SIGN}f4'", "'\\<f4'", "r'\\x3cf4'", "'<f\\\n4'",
    "'<f4", "<f4'", "'<f\n4'", "'''<f\n4'''", "ur'<f4'", "''", "'\\x3'", "'\\ud800'", "'<f4' ''", "('<f4')", "('<f4',)", "`<f4`", "'<f4'.lower()", "'<f4'+''", "'<f\\\r\n4'",
]

WHOLE = [
    GOOD, GOOD[:-3] + "}", " " + GOOD, "\t" + GOOD, "\n" + GOOD, "\f" + GOOD, "\r\n" + GOOD, "# comment\n" + GOOD, GOOD + " # comment", GOOD + "\n\n", GOOD + "\t\t",
    GOOD + "\r\n", GOOD + "\r", GOOD + "\f", GOOD + "\0", GOOD + " x", GOOD + "}", GOOD + ",", GOOD + ";", GOOD + "\n}", GOOD + "\n  ", GOOD + "\n x", GOOD + "\\\n", "(" + GOOD + ")",
    "(" + GOOD + ",)", "[" + GOOD + "]", "", " ", "None", "{}", "{'descr': '<f4'}", GOOD.replace("'descr'", '"descr"'), GOOD.replace("'descr'", "u'descr'"),
    GOOD.replace("'descr'", "b'descr'"), GOOD.replace("'descr'", "'Descr'"), GOOD.replace("'descr'", "descr"), GOOD.replace("'descr': ", "'descr' "),
    GOOD.replace(", 'fortran_order': False", ""), GOOD.replace("'shape': (2, 3), ", ""), GOOD.replace("'descr': '<f4', ", ""),
    GOOD.replace("}", "'extra': 1}"), GOOD.replace("}", "'shape': (6,)}"), GOOD.replace("}", "**{}}"), GOOD.replace("}", ""), GOOD.replace("{", "{,"),
    GOOD.replace(", }", ",, }"), GOOD.replace("{", "dict("), GOOD.replace(", ", ",\n"), GOOD.replace(": ", ":"), GOOD.replace(" ", "  "), GOOD.replace(" ", "\t"),
    GOOD.replace(" ", ""), GOOD.replace(" ", "\xa0"), GOOD.replace(", ", " , # note\n"), "\ufeff" + GOOD, GOOD + "é", GOOD.replace("}", "# é\n}"), GOOD.replace("'descr'", "'de' 'scr'"),
    "{'shape': (2, 3), 'fortran_order': False, 'descr': '<f4'}", GOOD + " " * 9000, GOOD + " " * 9943, GOOD + " " * 9944, GOOD.replace("}", " " * 5000 + "}"),
    GOOD.replace("'<f4'", "[('é', '<f4')]"), GOOD.replace("'<f4'", "[('日本', '<f4')]"), GOOD.replace("'<f4'", "[('\x80', '<f4')]"), "\n " + GOOD, " \n" + GOOD, "\n\t" + GOOD, "\f " + GOOD, " \f" + GOOD, "\n \f" + GOOD,
    "\\\n" + GOOD, "\\\n " + GOOD, "# c\n " + GOOD, " # c\n" + GOOD, "\r " + GOOD, "{" * 50, "[" * 500, "(" * 5000, "-" * 5000 + "1", "{'a':" * 300,
]


def texts():
    yield from WHOLE
    for value in VALUES:
        yield GOOD.replace("(2, 3)", value)
    for value in BOOLS:
        yield GOOD.replace("False", value)
    for value in STRINGS + DESCRS + [repr(dtype) for dtype in DTYPES]:
        yield GOOD.replace("'<f4'", value)
    for at in range(len(GOOD)):  # each character left out, doubled, or another
        yield GOOD[:at] + GOOD[at + 1 :]
        yield GOOD[:at] + GOOD[at] + GOOD[at:]
        yield GOOD[:at] + "x" + GOOD[at + 1 :]


def read(version, text):
    """What np.load makes of a file with that header, its data cut to no items where they are many."""
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    file = io.BytesIO(b"\x93NUMPY" + bytes([version, 0]) + length + text)
    file.seek(8)
    reader = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    try:
        if version in reader:
            shape, fortran, dtype = reader[version](file)
        else:
            from numpy.lib import _format_impl  # the only way to a header of version 3 alone

            shape, fortran, dtype = _format_impl._read_array_header(file, (3, 0))
        if dtype.hasobject or any(type(dim) is not int or dim < 0 for dim in shape) or len(shape) > 64:
            return None
        product = max(dtype.itemsize, 1)
        for dim in shape:
            product *= dim or 1
        if product >= 2**63 or dtype.subdtype:
            return None
        descr = np.lib.format.dtype_to_descr(dtype)
        return {"descr": repr(descr), "shape": list(shape), "fortran_order": fortran}
    except Exception:  # whatever it is, np.load ends with it
        return None


def read_dtype(text):
    try:
        dtype = np.dtype(text)
        if dtype.hasobject or dtype.subdtype:
            return None
        return {"descr": repr(np.lib.format.dtype_to_descr(dtype)), "itemsize": dtype.itemsize}
    except Exception:
        return None


def main():
    warnings.simplefilter("ignore")
    for text in texts():
        for version, encoding in [(1, "latin1"), (2, "latin1"), (3, "utf8")]:
            try:
                encoded = text.encode(encoding)
            except UnicodeEncodeError:
                continue
            line = {"version": version, "text": base64.b64encode(encoded).decode(), "accepted": read(version, encoded)}
            print(json.dumps(line))
    print(json.dumps({"version": 3, "text": base64.b64encode(b"\xff" + GOOD.encode()).decode(), "accepted": read(3, b"\xff" + GOOD.encode())}))
    for text in DTYPES:
        print(json.dumps({"dtype": text, "accepted": read_dtype(text)}))


if __name__ == "__main__":
    main()
