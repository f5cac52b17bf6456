"""Writes dumps as instruments' programs do, and what the formats' own readers make of them.

`sidecars.py DIR` makes a directory for each sample below DIR/in, and DIR/expected/SAMPLE.npy; it
prints a JSON object a line: `format`, `variant`, `writer`, `reader`, `sample` (its directory), and
`output` (the array's path below that of all arrays).
"""

import json
import sys
from pathlib import Path

import numpy as np

CODES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "c8", "c16"]


def values(shape, dtype):
    """No two neighbors alike, and no byte order that looks like the other."""
    count = int(np.prod(shape))
    flat = (np.arange(count) * 7 + 3) % 120
    array = flat.astype(dtype)
    if array.dtype.kind == "c":
        array = array + 1j * (flat[::-1] + 0.5).astype(array.real.dtype)
    return array.astype(dtype).reshape(shape)


class Samples:
    def __init__(self, root):
        self.root = Path(root)
        self.count = 0
        (self.root / "expected").mkdir(parents=True)
        self.told, sys.stdout = sys.stdout, sys.stderr  # the writers print, too

    def place(self):
        """A new directory for a sample."""
        self.count += 1
        place = self.root / "in" / f"{self.count:03}"
        place.mkdir(parents=True)
        return place

    def add(self, place, format, variant, writer, reader, output, expected):
        """A sample that was written there, and what its reader read."""
        name = f"{place.name}-{output.replace('/', '-')}"
        np.save(self.root / "expected" / name, np.ascontiguousarray(expected))
        print(json.dumps({"format": format, "variant": variant, "writer": writer, "reader": reader,
                          "sample": place.name, "output": f"{place.name}/{output}", "expected": name}), file=self.told)


def envi(samples):
    from spectral.io import envi

    for interleave in ["bsq", "bil", "bip"]:
        for code in ["u1", "i2", "i4", "f4", "f8", "c8", "c16", "u2", "u4", "i8", "u8"]:
            for order in [0, 1]:
                place = samples.place()
                header = str(place / "cube.hdr")
                envi.save_image(header, values((3, 4, 5), code), interleave=interleave, byteorder=order, dtype=code,
                                metadata={"wavelength": [400, 500, 600, 700, 800], "description": "two\nlines"})
                read = envi.open(header).open_memmap(interleave="source")
                samples.add(place, "ENVI", f"{interleave}, {code}, byte order {order}", "Spectral Python",
                            "Spectral Python open_memmap", "cube.npy", read)
    for name, header_name, offset in [("cube", "cube.hdr", 0), ("cube.IMG", "cube.IMG.hdr", 0), ("cube.dat", "cube.hdr", 100),
                                      ("scene_0.5m", "scene_0.5m.hdr", 0)]:
        place = samples.place()
        cube = values((2, 3, 4), ">u2")
        (place / name).write_bytes(b"x" * offset + cube.tobytes())
        (place / header_name).write_text(
            f"ENVI\nSamples = 4\nlines=3\nBANDS = 2\nheader offset = {offset}\ndata type = 12\ninterleave = BSQ\nbyte order = 1\n")
        read = envi.open(str(place / header_name), str(place / name)).open_memmap(interleave="source")
        output = header_name.removesuffix(".hdr").removesuffix(".IMG") + ".npy"
        samples.add(place, "ENVI", f"{header_name} beside {name}, header offset {offset}", "by hand",
                    "Spectral Python open_memmap", output, read)


def metaimage(samples):
    import SimpleITK as sitk

    def read(place, name="scan.mhd"):
        return sitk.GetArrayFromImage(sitk.ReadImage(str(place / name)))

    reader = "SimpleITK"
    for code in CODES[:10]:
        for shape in [(3, 4), (2, 3, 4), (2, 2, 3, 4)]:
            place = samples.place()
            image = sitk.GetImageFromArray(values(shape, code), isVector=False)
            image.SetSpacing([0.5 + at for at in range(len(shape))])
            sitk.WriteImage(image, str(place / "scan.mhd"))
            samples.add(place, "MetaImage", f"{code}, {len(shape)} dimensions", "SimpleITK", reader, "scan.npy", read(place))
    for code in ["u1", "f4"]:
        place = samples.place()
        sitk.WriteImage(sitk.GetImageFromArray(values((2, 3, 4, 3), code), isVector=True), str(place / "scan.mhd"))
        samples.add(place, "MetaImage", f"{code}, vectors of 3", "SimpleITK", reader, "scan.npy", read(place))
    volume = values((4, 3, 5), ">i2")
    head = ("ObjectType = Image\nNDims = 3\nDimSize = 5 3 4\nElementType = MET_SHORT\n"
            "BinaryData = True\nBinaryDataByteOrderMSB = True\n")
    for variant, files, lines in [
        ("big-endian", {"scan.raw": volume.tobytes()}, "ElementDataFile = scan.raw\n"),
        ("HeaderSize 32", {"scan.raw": b"h" * 32 + volume.tobytes()}, "HeaderSize = 32\nElementDataFile = scan.raw\n"),
        ("HeaderSize -1", {"scan.raw": b"h" * 77 + volume.tobytes()}, "HeaderSize = -1\nElementDataFile = scan.raw\n"),
        ("LIST, HeaderSize -1", {f"h{at}": b"h" * (9 - 2 * at) + volume[at].tobytes() for at in range(4)},
         "HeaderSize = -1\nElementDataFile = LIST\n" + "".join(f"h{at}\n" for at in range(4))),
        ("LIST", {f"{at}.raw": volume[at].tobytes() for at in range(4)},
         "ElementDataFile = LIST\n" + "".join(f"{at}.raw\n" for at in range(4))),
        ("LIST 2", {f"s{at}": volume[at].tobytes() for at in range(4)},
         "ElementDataFile = LIST 2\n" + "".join(f"s{at}\n" for at in range(4))),
        ("pattern", {f"s{at:03}.raw": volume[at - 2].tobytes() for at in range(2, 6)}, "ElementDataFile = s%03d.raw 2 5 1\n"),
    ]:
        place = samples.place()
        for name, content in files.items():
            (place / name).write_bytes(content)
        (place / "scan.mhd").write_text(head + lines)
        samples.add(place, "MetaImage", variant, "by hand", reader, "scan.npy", read(place).astype(">i2"))


def nrrd_(samples):
    import nrrd
    import SimpleITK as sitk

    def read(place):
        return sitk.GetArrayFromImage(sitk.ReadImage(str(place / "scan.nhdr")))

    for code in CODES[:10]:
        for shape in [(6,), (3, 4), (2, 3, 4)]:
            place = samples.place()
            nrrd.write(str(place / "scan.nhdr"), values(shape, code), {"encoding": "raw", "note": "ours"}, detached_header=True, index_order="C")
            data, _ = nrrd.read(str(place / "scan.nhdr"), index_order="C")
            output = next(place.glob("scan.r*")).stem + ".npy"
            samples.add(place, "NRRD", f"{code}, {len(shape)} dimensions", "pynrrd", "pynrrd", output, data)
    for shape, vector in [((2, 3, 4), False), ((2, 3, 4, 3), True)]:
        place = samples.place()
        sitk.WriteImage(sitk.GetImageFromArray(values(shape, "u2"), isVector=vector), str(place / "scan.nhdr"))
        samples.add(place, "NRRD", "vectors of 3" if vector else "a volume", "SimpleITK", "SimpleITK", "scan.npy", read(place))
    volume = values((4, 3, 5), ">u2")
    head = "NRRD0004\n# by hand\ntype: ushort\ndimension: 3\nspace dimension: 3\nsizes: 5 3 4\nencoding: raw\nendian: big\n"
    for variant, files, lines in [
        ("byte skip", {"scan.raw": b"h" * 9 + volume.tobytes()}, "byte skip: 9\ndata file: scan.raw\n"),
        ("line skip", {"scan.raw": b"one\ntwo\n" + volume.tobytes()}, "line skip: 2\ndata file: ./scan.raw\n"),
        ("line skip and byte skip", {"scan.raw": b"one\ntwo\nxyz" + volume.tobytes()}, "lineskip: 2\nbyteskip: 3\ndatafile: scan.raw\n"),
        ("byte skip -1", {"scan.raw": b"h" * 77 + volume.tobytes()}, "byte skip: -1\ndata file: scan.raw\n"),
        ("byte skip -6", {"scan.raw": b"h" * 77 + volume.tobytes() + b"5tail"}, "byte skip: -6\ndata file: scan.raw\n"),
        ("LIST", {f"{at}.raw": volume[at].tobytes() for at in range(4)}, "data file: LIST\n" + "".join(f"{at}.raw\n" for at in range(4))),
        ("LIST 3", {f"{at}.raw": volume[2 * at:2 * at + 2].tobytes() for at in range(2)}, "data file: LIST 3\n0.raw\n1.raw\n"),
        ("pattern", {f"s{at:03}.raw": volume[at - 2].tobytes() for at in range(2, 6)}, "data file: s%03d.raw 2 5 1\n"),
    ]:
        place = samples.place()
        for name, content in files.items():
            (place / name).write_bytes(content)
        (place / "scan.nhdr").write_text(head.replace("space dimension: 3\n", "") + lines)
        reader, expected = "SimpleITK", None
        try:
            expected = read(place).astype(">u2")
        except RuntimeError:  # what the Insight Toolkit's reader does not read is known from above
            reader, expected = "none: as it was written", volume
        samples.add(place, "NRRD", variant, "by hand", reader, "scan.npy", expected)


def sigmf_(samples):
    import sigmf

    types = {"f32": "f4", "f64": "f8", "i32": "i4", "i16": "i2", "i8": "i1", "u32": "u4", "u16": "u2", "u8": "u1"}
    for kind in "cr":
        for item, code in types.items():
            for order, mark in [("_le", "<"), ("_be", ">")] if not item.endswith("8") else [("", "|")]:
                for channels in [1, 2]:
                    place = samples.place()
                    is_pair = kind == "c" and item[0] != "f"
                    dtype = {"f4": "c8", "f8": "c16"}[code] if kind == "c" and not is_pair else code
                    shape = (12,) + ((channels,) if channels > 1 else ()) + ((2,) if is_pair else ())
                    written = values(shape, mark + dtype)
                    data = place / "x.sigmf-data"
                    written.tofile(data)
                    meta = sigmf.SigMFFile(data_file=str(data), global_info={
                        "core:datatype": kind + item + order, "core:sample_rate": 48000.0, "core:num_channels": channels})
                    meta.add_capture(0)
                    meta.tofile(str(place / "x.sigmf-meta"), overwrite=True)
                    reader = sigmf.fromfile(str(place / "x.sigmf-meta"))
                    raw = np.asarray(reader._memmap).view(mark + dtype if not is_pair else mark + code)
                    samples.add(place, "SigMF", f"{kind}{item}{order}, channels: {channels}", "sigmf-python",
                                "sigmf-python _memmap", "x.npy", raw.reshape(shape))
    place = samples.place()
    written = values((12, 3, 2), ">i2")
    (place / "x.rec").write_bytes(b"h" * 44 + written.tobytes() + b"t" * 7)
    meta = sigmf.SigMFFile(global_info={"core:datatype": "ci16_be", "core:num_channels": 3, "core:version": "1.2.0",
                                        "core:dataset": "x.rec", "core:trailing_bytes": 7})
    meta.add_capture(0, metadata={"core:header_bytes": 44})
    meta.add_capture(5, metadata={"core:frequency": 1e9})
    meta.tofile(str(place / "x.sigmf-meta"), skip_validate=True)
    read = np.asarray(sigmf.fromfile(str(place / "x.sigmf-meta"))._memmap)
    samples.add(place, "SigMF", "core:dataset, header_bytes 44, trailing_bytes 7, two captures", "sigmf-python",
                "sigmf-python _memmap", "x.npy", read)


def spikeglx(samples):
    from neo.rawio import SpikeGLXRawIO

    nidq = "snsMnMaXaDw=0,0,3,0\nniMNGain=1\nniMAGain=1\nniAiRangeMax=5\nniSampRate=30000\ntypeThis=nidq\nsnsSaveChanSubset=0:2\n~snsChanMap=(0,0,1,1,1)(XA0;0:0)(XA1;1:1)(XA2;2:2)\n"
    imec = ("snsApLfSy=2,0,1\nimAiRangeMax=0.6\nimSampRate=30000\ntypeThis=imec\nsnsSaveChanSubset=0,1,384\nimDatPrb_pn=PRB_1_4_0480_1\n"
            "imDatPrb_type=0\nimDatPrb_slot=2\nimDatPrb_port=1\n~imroTbl=(0,2)(0 0 0 500 250 1)(1 0 0 500 250 1)\n"
            "~snsChanMap=(2,0,1)(AP0;0:0)(AP1;1:1)(SY0;384:2)\n")
    import hashlib

    for variant, stem, more, hashed in [("NI-DAQ", "run_g0_t0.nidq", nidq, False), ("Neuropixels, fileSHA1", "run_g0_t0.imec0.ap", imec, True)]:
        place = samples.place()
        raw = values((20, 3), "<i2")
        (place / f"{stem}.bin").write_bytes(raw.tobytes())
        sha = hashlib.sha1(raw.tobytes()).hexdigest().upper() if hashed else "0"
        (place / f"{stem}.meta").write_text(f"fileName=D:/data/{stem}.bin\nfileSHA1={sha}\nfileSizeBytes={raw.nbytes}\n"
                                            f"fileTimeSecs=0.001\nfirstSample=0\nnSavedChans=3\n{more}")
        neo = SpikeGLXRawIO(dirname=str(place))
        neo.parse_header()
        chunks = [np.asarray(neo.get_analogsignal_chunk(0, 0, None, None, at)) for at in range(len(neo.header["signal_streams"]))]
        read = np.hstack(chunks)  # the probe's channels, and the one of its sync signal
        assert read.shape == raw.shape, read.shape
        samples.add(place, "SpikeGLX", variant, "by hand", "neo SpikeGLXRawIO", f"{stem}.npy", read)


def brainvision(samples):
    import pybv
    from neo.rawio import BrainVisionRawIO

    for fmt, code in [("binary_int16", "<i2"), ("binary_int32", "<i4"), ("binary_float32", "<f4")]:
        for resolution in [1, 0.1]:
            place = samples.place()
            volts = values((3, 10), "f8") * 1e-6
            try:
                pybv.write_brainvision(data=volts, sfreq=500, ch_names=["Fp1", "Cz", "a,b"], fname_base="eeg", folder_out=str(place),
                                       fmt=fmt, resolution=resolution, unit="µV", overwrite=True)
            except ValueError:
                place.rmdir() if not any(place.iterdir()) else None
                continue
            neo = BrainVisionRawIO(filename=str(place / "eeg.vhdr"))
            neo.parse_header()
            read = np.asarray(neo.get_analogsignal_chunk(0, 0, None, None, 0))
            samples.add(place, "BrainVision", f"{fmt}, resolution {resolution}", "pybv", "neo BrainVisionRawIO", "eeg.npy", read)
    head = ("Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=old name.eeg\nDataFormat=BINARY\n"
            "DataOrientation={}\nNumberOfChannels=3\nSamplingInterval=2000\n[Binary Infos]\nBinaryFormat={}\nUseBigEndianOrder={}\n"
            "[Channel Infos]\nCh1=Fp1,,0.5,µV\nCh2=Cz,,0.5,µV\nCh3=Oz,,0.5,µV\n")
    for orientation, shape in [("MULTIPLEXED", (10, 3)), ("VECTORIZED", (3, 10))]:
        for fmt, code in [("INT_16", "i2"), ("INT_32", "i4"), ("IEEE_FLOAT_32", "f4")]:
            for big, mark in [("NO", "<"), ("YES", ">")]:
                place = samples.place()
                raw = values(shape, mark + code)
                (place / "eeg.eeg").write_bytes(raw.tobytes())
                (place / "eeg.vhdr").write_text(head.format(orientation, fmt, big))
                samples.add(place, "BrainVision", f"{orientation}, {fmt}, big-endian: {big}, renamed", "by hand", "none: as it was written", "eeg.npy", raw)
    place = samples.place()
    raw = values((10, 3), "<i2")
    (place / "eeg.eeg").write_bytes(b"h" * 12 + raw.tobytes() + b"t" * 6)
    (place / "eeg.vhdr").write_text(head.format("MULTIPLEXED", "INT_16\nDataOffset=12\nTrailerSize=6", "NO"))
    samples.add(place, "BrainVision", "DataOffset 12, TrailerSize 6", "by hand", "none: as it was written", "eeg.npy", raw)


def open_ephys(samples):
    from neo.rawio import OpenEphysBinaryRawIO

    for counted in ["sample_numbers.npy", "timestamps.npy"]:
        place = samples.place()
        recording = place / "Record Node 101" / "experiment1" / "recording1"
        streams, written = [], {}
        for folder, channels in [("Neuropix-PXI-100.ProbeA-AP/", 4), ("NI-DAQmx-103.PXIe-6341/", 2)]:
            at = recording / "continuous" / folder
            at.mkdir(parents=True)
            raw = values((25, channels), "<i2")
            (at / "continuous.dat").write_bytes(raw.tobytes())
            np.save(at / counted, np.arange(25, dtype="i8"))
            if counted == "sample_numbers.npy":
                np.save(at / "timestamps.npy", np.arange(25) / 30000)
            written[folder] = raw
            streams.append({"folder_name": folder, "sample_rate": 30000, "source_processor_name": "x", "source_processor_id": 100,
                            "stream_name": folder.split(".")[1].rstrip("/"), "recorded_processor": "Record Node", "recorded_processor_id": 101, "num_channels": channels,
                            "channels": [{"channel_name": f"CH{n}", "description": "", "identifier": "x", "history": "x",
                                          "bit_volts": 0.195, "units": "uV"} for n in range(channels)]})
        version = "0.6.7" if counted == "sample_numbers.npy" else "0.5.5"
        structure = {"GUI version": version, "continuous": streams, "events": [], "spikes": []}
        (recording / "structure.oebin").write_text(json.dumps(structure, indent=4))
        neo = OpenEphysBinaryRawIO(dirname=str(place))
        neo.parse_header()
        names = [stream[0] for stream in neo.header["signal_streams"]]
        for folder in written:
            stream = next(at for at, name in enumerate(names) if folder.rstrip("/") in name)
            read = np.asarray(neo.get_analogsignal_chunk(0, 0, None, None, stream))
            path = (recording / "continuous" / folder / "continuous.npy").relative_to(place)
            samples.add(place, "Open Ephys", f"GUI {version}, {folder.rstrip('/')}", "by hand", "neo OpenEphysBinaryRawIO", str(path), read)


def ripple(samples):
    from rsciio.ripple import file_reader, file_writer

    for code in ["u1", "u2", "i4", "i8", "f4", "f8"]:  # its writer has no others
        for shape, record_by in [((3, 4), "dont-care"), ((2, 3, 4), "image"), ((2, 3, 4), "vector")]:
            place = samples.place()
            data = values(shape, code)
            navigation = {"dont-care": [False, False], "image": [True, False, False], "vector": [True, True, False]}[record_by]
            axes = [{"name": f"axis {at}", "size": size, "index_in_array": at, "scale": 1.0, "offset": 0.0, "units": "nm", "navigate": navigate}
                    for at, (size, navigate) in enumerate(zip(shape, navigation))]
            file_writer(str(place / "map.rpl"), {"data": data, "axes": axes, "metadata": {"General": {}, "Signal": {}}, "original_metadata": {}})
            read = file_reader(str(place / "map.rpl"))[0]["data"]
            samples.add(place, "RPL", f"{code}, record by {record_by}", "RosettaSciIO", "RosettaSciIO", "map.npy", np.asarray(read).reshape(shape))


def ehdr(samples):
    import rasterio

    rasterio_log = __import__("logging").getLogger("rasterio")
    rasterio_log.setLevel("ERROR")
    kinds = [("u1", 8, "UNSIGNEDINT"), ("i2", 16, "SIGNEDINT"), ("u2", 16, "UNSIGNEDINT"), ("i4", 32, "SIGNEDINT"), ("f4", 32, "FLOAT")]
    for code, bits, pixel in kinds:
        for layout, axes in [("BIL", (1, 0, 2)), ("BIP", (1, 2, 0)), ("BSQ", (0, 1, 2))]:
            for order, mark in [("I", "<"), ("M", ">")]:
                for bands in [1, 3]:
                    place = samples.place()
                    raster = values((bands, 4, 5), mark + code)
                    packed = np.ascontiguousarray(raster.transpose(axes))
                    (place / "dem.bil").write_bytes(b"skip" + packed.tobytes())
                    (place / "dem.hdr").write_text(
                        f"BYTEORDER {order}\nLAYOUT {layout}\nNROWS 4\nNCOLS 5\nNBANDS {bands}\nNBITS {bits}\nPIXELTYPE {pixel}\nSKIPBYTES 4\nXDIM 0.5\nYDIM 0.5\n")
                    with rasterio.open(place / "dem.bil") as dataset:
                        read = dataset.read()
                    read = np.ascontiguousarray(read.transpose(axes)).astype(mark + code)
                    read = read.reshape(4, 5) if bands == 1 else read
                    for extra in place.glob("*.aux.xml"):
                        extra.unlink()
                    samples.add(place, "EHdr", f"{layout}, {code}, byte order {order}, bands: {bands}", "by hand", "rasterio (GDAL)", "dem.npy", read)


    plain = "NROWS 4\nNCOLS 5\nNODATA -9999\n"
    for variant, name, code, header in [
        ("no NBITS, PIXELTYPE FLOAT", "dem.bil", ">f4", f"{plain}BYTEORDER M\nPIXELTYPE FLOAT\n"),
        ("no PIXELTYPE, NODATA below 0", "dem.bil", ">i2", f"{plain}BYTEORDER M\nNBITS 16\n"),
        ("no PIXELTYPE, NODATA below 0, 8 bits", "dem.bil", "i1", f"{plain}NBITS 8\n"),
        ("a grid of floats", "dem.flt", "<f4", "ncols 5\nnrows 4\nxllcorner 0\nyllcorner 0\ncellsize 0.5\nNODATA_value -9999\nbyteorder LSBFIRST\n"),
    ]:
        place = samples.place()
        (place / name).write_bytes((values((4, 5), code) - np.dtype(code).type(60)).astype(code).tobytes())
        (place / "dem.hdr").write_text(header)
        with rasterio.open(place / name) as dataset:
            read = dataset.read(1).astype(code)
        samples.add(place, "EHdr", variant, "by hand", "rasterio (GDAL)", "dem.npy", read)
    for code in ["u1", "i1", "u2", "i2", "u4", "i4", "f4"]:
        for bands in [1, 3]:
            place = samples.place()
            raster = values((bands, 4, 5), code)
            with rasterio.open(place / "dem.bil", "w", driver="EHdr", width=5, height=4, count=bands, dtype=np.dtype(code).name, nodata=1) as dataset:
                dataset.write(raster)
            with rasterio.open(place / "dem.bil") as dataset:
                read = np.ascontiguousarray(dataset.read().transpose(1, 0, 2)).astype("<" + code)
            samples.add(place, "EHdr", f"BIL, {code}, bands: {bands}", "rasterio (GDAL)", "rasterio (GDAL)", "dem.npy",
                        read.reshape(4, 5) if bands == 1 else read)
    # GDAL does not read DATATYPE: it reads a copy with PIXELTYPE in its place.
    for code, kind, pixel in [("u1", "U8", "UNSIGNEDINT"), ("i1", "S8", "SIGNEDINT"), ("u2", "U16", "UNSIGNEDINT"), ("i2", "S16", "SIGNEDINT"),
                              ("u4", "U32", "UNSIGNEDINT"), ("i4", "S32", "SIGNEDINT"), ("f4", "R32", "FLOAT")]:
        place, copy = samples.place(), samples.root / "copies" / kind
        copy.mkdir(parents=True)
        header = f"xdim 30\nydim 30\nncols 5\nnrows 4\nnbits {8 * int(code[1])}\nnbands 1\nbyteorder I\nlayout bil\nnodatavalue -9999\n"
        for at, line in [(place, f"datatype {kind}\n"), (copy, f"pixeltype {pixel}\n")]:
            (at / "dem.bil").write_bytes((values((4, 5), code) - np.dtype(code).type(60)).astype("<" + code).tobytes())
            (at / "dem.hdr").write_text(header + line)
        with rasterio.open(copy / "dem.bil") as dataset:
            read = dataset.read(1).astype("<" + code)
        samples.add(place, "EHdr", f"DATATYPE {kind}, nodatavalue", "by hand", f"rasterio (GDAL), with PIXELTYPE {pixel}", "dem.npy", read)


def spikeinterface_(samples):
    import spikeinterface.core as si

    for code in ["<i2", "<u2", "<i4", "<f4", "<f8", ">i2", ">f4"]:
        place = samples.place()
        recording = si.NumpyRecording([values((30, 4), code), values((20, 4), code)], sampling_frequency=1000.0)
        saved = recording.save(folder=place / "saved", format="binary", verbose=False, n_jobs=1)
        for segment in range(2):
            samples.add(place, "SpikeInterface", f"{code}, segment {segment}", "SpikeInterface", "SpikeInterface get_traces",
                        f"saved/traces_cached_seg{segment}.npy", saved.get_traces(segment_index=segment))
    place = samples.place()
    written = values((4, 30), "<i2")
    (place / "rows.raw").write_bytes(b"h" * 10 + written.tobytes())
    recording = si.BinaryRecordingExtractor([place / "rows.raw"], 1000.0, "<i2", num_channels=4, time_axis=1, file_offset=10)
    recording.dump(place / "binary.json", relative_to=place)
    traces = si.BinaryFolderRecording(place).get_traces(segment_index=0)
    samples.add(place, "SpikeInterface", "time_axis 1, file_offset 10", "SpikeInterface", "SpikeInterface get_traces, transposed",
                "rows.npy", traces.T)


def neuroscope(samples):
    from neo.rawio import NeuroScopeRawIO

    for bits, code in [(16, "<i2"), (32, "<i4")]:
        place = samples.place()
        files = {"rec.dat": values((30, 4), code), "rec.lfp": values((6, 4), code)}
        for name, raw in files.items():
            (place / name).write_bytes(raw.tobytes())
        (place / "rec.xml").write_text(
            f"<?xml version='1.0'?>\n<parameters><acquisitionSystem><nBits>{bits}</nBits><nChannels>4</nChannels><samplingRate>20000</samplingRate>"
            "<voltageRange>20</voltageRange><amplification>1000</amplification><offset>0</offset></acquisitionSystem>"
            "<fieldPotentials><lfpSamplingRate>1250</lfpSamplingRate></fieldPotentials><anatomicalDescription><channelGroups><group>"
            "<channel skip='0'>0</channel><channel skip='0'>1</channel><channel skip='0'>2</channel><channel skip='0'>3</channel>"
            "</group></channelGroups></anatomicalDescription></parameters>\n")
        for name, output in [("rec.dat", "rec.npy"), ("rec.lfp", "rec.lfp.npy")]:
            reader, read = "none: as it was written", files[name]
            if bits == 16:  # all that neo reads
                neo = NeuroScopeRawIO(filename=str(place / "rec.xml"), binary_file=str(place / name))
                neo.parse_header()
                reader, read = "neo NeuroScopeRawIO", np.asarray(neo.get_analogsignal_chunk(0, 0, None, None, 0))
            samples.add(place, "Neuroscope", f"{name}, {bits} bits", "by hand", reader, output, read)


def empad(samples):
    from rsciio.empad import file_reader

    frame = np.dtype([("data", "<f4", (128, 128)), ("footer", "<f4", (2, 128))])
    for variant, shape, name, body in [
        ("a scan by its pixels", (2, 3), "scan.raw", "<pix_x>3</pix_x><pix_y>2</pix_y>"),
        ("a scan by the file's name", (2, 3), "scan_x3_y2.raw", ""),
        ("a series", (4,), "series.raw", "<scan_parameters mode='acquire'><series_count>4</series_count></scan_parameters>"),
    ]:
        place = samples.place()
        raw = np.frombuffer(values((int(np.prod(shape)) * 130 * 128,), "<f4").tobytes(), dtype=frame).reshape(shape)
        (place / name).write_bytes(raw.tobytes())
        (place / "scan.xml").write_text(f"<?xml version='1.0'?>\n<root><raw_file filename='{name}'/>{body}</root>\n")
        try:
            read = np.asarray(file_reader(str(place / "scan.xml"))[0]["data"]).reshape(raw["data"].shape)
            assert np.array_equal(read, raw["data"])
            reader = "RosettaSciIO: the field data"
        except (AttributeError, KeyError):  # its reader wants more of the instrument's settings
            reader = "none: as it was written"
        samples.add(place, "EMPAD", variant, "by hand", reader, name.replace(".raw", ".npy"), raw)


def main():
    samples = Samples(sys.argv[1])
    for write in [envi, metaimage, sigmf_, nrrd_, spikeglx, brainvision, open_ephys, ripple, ehdr, spikeinterface_, neuroscope, empad]:
        write(samples)


if __name__ == "__main__":
    main()
