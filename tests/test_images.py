import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tfcnns.errors import UserError
from tfcnns.pipelines.images import decode, read_image
from tfcnns.pipelines.transforms import center_crop, resize, resize_short_side

RANDOM = np.random.RandomState(0)
RGB = RANDOM.randint(0, 256, (12, 17, 3)).astype(np.uint8)
ALPHA = RANDOM.randint(0, 256, (12, 17, 1)).astype(np.uint8)
ORIENTATION = 0x0112


def encode(image, form, **options):
    """The bytes of an image file, from an array or a Pillow image."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def png(pixels, bits, colour_type):
    """A PNG of the given depth, which Pillow may not be able to write; big-endian pixels."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def over(image, background):
    """What a viewer shows of a Pillow image on a grey background, by floating point."""
    rgba = np.asarray(image.convert("RGBA")).astype(float)
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + background * (1 - alpha)


def grey(rgb):
    return rgb @ [[0.2989], [0.587], [0.114]]


RGBA = Image.fromarray(np.concatenate([RGB, ALPHA], axis=-1))
GREY = Image.fromarray(RGB[..., 0])
PALETTE = Image.fromarray(RGB).quantize(16)
LOSSLESS = {
    "grey.png": (GREY, "PNG", {}),
    "grey_alpha.png": (RGBA.convert("LA"), "PNG", {}),
    "grey_one_transparent.png": (GREY, "PNG", {"transparency": int(RGB[0, 0, 0])}),
    "rgb.png": (Image.fromarray(RGB), "PNG", {}),
    "rgb_one_transparent.png": (
        Image.fromarray(RGB),
        "PNG",
        {"transparency": tuple(map(int, RGB[0, 0]))},
    ),
    "rgba.png": (RGBA, "PNG", {}),
    "palette.png": (PALETTE, "PNG", {}),
    "palette_one_transparent.png": (PALETTE, "PNG", {"transparency": 3}),
    "palette_alpha.png": (PALETTE, "PNG", {"transparency": bytes(range(0, 256, 16))}),
    "one_bit.png": (GREY.convert("1"), "PNG", {}),
    "rgb.bmp": (Image.fromarray(RGB), "BMP", {}),
    "rgb_unused_byte.bmp": (RGBA, "BMP", {}),  # alpha that BMP viewers don't show
    "grey.bmp": (GREY, "BMP", {}),
    "palette.bmp": (PALETTE, "BMP", {}),
    "one_bit.bmp": (GREY.convert("1"), "BMP", {}),
    "rgb.webp": (Image.fromarray(RGB), "WEBP", {"lossless": True}),
    "rgba.webp": (RGBA, "WEBP", {"lossless": True, "exact": True}),
    "rgb.tif": (Image.fromarray(RGB), "TIFF", {}),
    "rgba.tif": (RGBA, "TIFF", {}),
    "grey.tif": (GREY, "TIFF", {}),
    "palette.tif": (PALETTE, "TIFF", {}),
    "one_bit.tif": (GREY.convert("1"), "TIFF", {}),
    "packed.tif": (Image.fromarray(RGB), "TIFF", {"compression": "tiff_lzw"}),
    "palette.gif": (PALETTE, "GIF", {}),
    "one_transparent.gif": (PALETTE, "GIF", {"transparency": 3}),
    "interlaced.gif": (PALETTE, "GIF", {"interlace": 1}),
    "grey.gif": (GREY, "GIF", {}),
    "one_bit.gif": (GREY.convert("1"), "GIF", {}),
    "one_pixel.png": (Image.fromarray(RGB[:1, :1]), "PNG", {}),
    "one_pixel.bmp": (Image.fromarray(RGB[:1, :1]), "BMP", {}),
    "one_pixel.gif": (Image.fromarray(RGB[:1, :1]), "GIF", {}),
}


@pytest.mark.parametrize("background", [255, 0, 100])
@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_files_look_as_in_a_viewer(name, background):
    data = encode(LOSSLESS[name][0], LOSSLESS[name][1], **LOSSLESS[name][2])
    expected = over(Image.open(io.BytesIO(data)), background)
    image = decode(data, name, 3, background)
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image, expected, atol=0.501)
    image = decode(data, name, 1, background)
    np.testing.assert_allclose(image, grey(expected), atol=1.6)  # rounded down, of rounded


def test_grey_stays_exactly_as_it_is():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(decode(encode(levels, "PNG"), channels=1)[..., 0], levels)


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_lose_the_lower_byte(colour_type, channels):
    pixels = RANDOM.randint(0, 2**16, (5, 6, channels)).astype(">u2")
    image = decode(png(pixels, 16, colour_type), background=0)
    high = (pixels >> 8).astype(np.uint8)
    colour = high[..., : 1 if channels < 3 else 3]
    expected = colour * (high[..., -1:] / 255.0 if channels in (2, 4) else 1)
    np.testing.assert_allclose(image, np.broadcast_to(expected, (5, 6, 3)), atol=0.501)


SMOOTH = resize(RANDOM.randint(0, 256, (4, 5, 3)).astype(np.uint8), 40, 50).numpy()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 30, "subsampling": 2}])
def test_jpeg_is_decoded_as_tensorflow_does(options):
    data = encode(SMOOTH, "JPEG", **options)
    np.testing.assert_array_equal(decode(data), tf.io.decode_image(data))
    assert np.abs(decode(data).astype(int) - SMOOTH).mean() < 6


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpeg_in_other_colours(mode):
    image = Image.fromarray(SMOOTH).convert(mode)
    decoded = decode(encode(image, "JPEG", quality=95)).astype(int)
    assert np.abs(decoded - np.asarray(image.convert("RGB"))).mean() < 3
    assert decode(encode(image, "JPEG"), channels=1).shape == (40, 50, 1)


def test_one_pixel_jpeg_and_several_pictures_in_one():
    assert decode(encode(SMOOTH[:1, :1], "JPEG")).shape == (1, 1, 3)
    phone = encode(SMOOTH, "MPO", save_all=True, append_images=[Image.fromarray(SMOOTH[:8])])
    assert decode(phone).shape == (40, 50, 3)


@pytest.mark.parametrize("orientation", range(10))  # 0 and 9 mean nothing
def test_cameras_orientation_is_undone(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encode(SMOOTH, "JPEG", exif=exif)
    raw = Image.fromarray(tf.io.decode_jpeg(data).numpy())
    raw.getexif()[ORIENTATION] = orientation
    np.testing.assert_array_equal(decode(data), np.asarray(ImageOps.exif_transpose(raw)))


def test_damaged_exif_is_no_reason_to_refuse():
    data = encode(SMOOTH, "JPEG", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff rubbish")
    assert decode(data).shape == (40, 50, 3)


def test_first_frame_of_an_animation():
    frames = [PALETTE, PALETTE.transpose(Image.Transpose.ROTATE_180), PALETTE]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=10)
    np.testing.assert_array_equal(decode(data), decode(encode(PALETTE, "GIF")))


def move_frame(canvas, corner=(0, 0), size=(17, 12)):
    """The bytes of a GIF with its canvas and its frame's place, all (width, height), changed."""
    data = bytearray(encode(PALETTE, "GIF"))
    frame = data.index(b"," + struct.pack("<4H", 0, 0, 17, 12))
    data[frame + 1 : frame + 9] = struct.pack("<4H", *corner, *size)
    data[6:10] = struct.pack("<2H", *canvas)
    return bytes(data)


def test_first_frame_lies_on_its_canvas():
    frame = decode(encode(PALETTE, "GIF"))
    image = decode(move_frame((20, 30), (2, 5)), background=7)
    expected = np.full((30, 20, 3), 7)
    expected[5:17, 2:19] = frame
    np.testing.assert_array_equal(image, expected)
    np.testing.assert_array_equal(decode(move_frame((17, 6)))[:6], frame[:6])


def test_gif_without_pixels_is_refused():
    with pytest.raises(UserError, match="x is damaged or cut off: not a whole GIF"):
        decode(move_frame((17, 12), (0, 0), (0, 12)), "x")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_cut_off_files_are_refused(form):
    data = encode(SMOOTH, form)
    for kept in [*range(0, 40, 7), len(data) // 2, len(data) - 5]:
        with pytest.raises(UserError, match=r"^cut.img .*(empty|isn't a readable|cut off)"):
            decode(data[:kept], "cut.img")


def test_damaged_files_give_an_image_or_a_clear_refusal():
    options = [("JPEG", {}), ("PNG", {}), ("GIF", {"transparency": 3}), ("BMP", {})]
    options += [("WEBP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})]
    for form, more in options:
        data = encode(PALETTE if form == "GIF" else RGB, form, **more)
        for _ in range(100):
            damaged = bytearray(data)
            for place in RANDOM.randint(0, len(data), 3):
                damaged[place] = RANDOM.randint(256)
            try:
                image = decode(bytes(damaged))
            except UserError:
                continue
            assert image.dtype == np.uint8
            assert min(image.shape) > 0


def bmp(pixels, alpha=None, palette=(), compression=0, bits=24, masks=b"", after=b""):
    """A BMP with the bytes `pixels`, 7 x 5 of them, from the bottom up."""
    head = struct.pack("<IiiHHIIiiII", 40 + len(masks), 7, 5, 1, bits, compression,
                       len(pixels), 2835, 2835, len(palette), 0)  # fmt: skip
    head += masks + b"".join(bytes([c, c, c, 0]) for c in palette)
    size = 14 + len(head) + len(pixels) + len(after)
    return b"BM" + struct.pack("<IHHI", size, 0, 0, 14 + len(head)) + head + pixels + after


def test_bmp_with_bytes_after_its_pixels():
    """As Photoshop writes them."""
    rows = RANDOM.randint(0, 256, (5, 7, 3)).astype(np.uint8)
    padded = np.pad(rows[::-1, :, ::-1].reshape(5, 21), [(0, 0), (0, 3)])
    np.testing.assert_array_equal(decode(bmp(padded.tobytes(), after=b"\0\0")), rows)


def test_bmp_in_runs():
    """A literal file: a run of three, four absolute values, the end of the line; a run of seven."""
    runs = bytes([3, 0, 0, 4, 1, 0, 1, 1, 0, 0]) + bytes([7, 1, 0, 0]) * 4 + bytes([0, 1])
    image = decode(bmp(runs, compression=1, bits=8, palette=(10, 200)))
    expected = np.full((5, 7), 200)
    expected[4] = [10, 10, 10, 200, 10, 200, 200]
    np.testing.assert_array_equal(image, np.repeat(expected[..., None], 3, axis=2))


@pytest.mark.parametrize("alpha", [0, 128, "mixed"])
def test_bmp_with_an_alpha_channel(alpha):
    """Of a version that has one; where it is zero everywhere, the program left it empty."""
    rgba = RANDOM.randint(0, 256, (5, 7, 4)).astype(np.uint8)
    if alpha != "mixed":
        rgba[..., 3] = alpha
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + bytes(52)  # version 4
    data = bmp(rgba[::-1, :, [2, 1, 0, 3]].tobytes(), bits=32, compression=3, masks=masks)
    opaque = 1.0 if alpha == 0 else rgba[..., 3:] / 255
    expected = rgba[..., :3] * opaque + 200 * (1 - opaque)
    np.testing.assert_allclose(decode(data, background=200), expected, atol=0.501)


def test_bmp_of_a_kind_that_nobody_reads():
    with pytest.raises(UserError, match=r"x.bmp can't be read: Unsupported BMP compression \(5\)"):
        decode(bmp(bytes(120), compression=5), "x.bmp")


@pytest.mark.parametrize("index", [3, 4, 200])
def test_gif_with_a_transparent_colour_of_no_palette(index):
    """Four colours, of which the fourth, or none, is the transparent one."""
    levels = RANDOM.randint(0, 4, (5, 7)).astype(np.uint8)
    image = Image.fromarray(levels, "L").convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    data = bytearray(encode(image, "GIF", transparency=3, optimize=False))
    control = data.index(b"!\xf9\x04")
    data[control + 6] = index
    assert data[10] & 7 == 1  # 4 colours
    palette = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]])
    if index == 3:
        palette[3] = 77
    np.testing.assert_array_equal(decode(bytes(data), background=77), palette[levels])


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
def test_png_with_much_metadata(kind):
    text = b"x" * 2_000_000
    bodies = {
        b"tEXt": b"note\0" + text,
        b"zTXt": b"note\0\0" + zlib.compress(text),
        b"iTXt": b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(text),
    }
    body = bodies[kind]
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    data = encode(RGB, "PNG")
    np.testing.assert_array_equal(decode(data[:33] + chunk + data[33:]), RGB)


def test_deep_tiffs():
    grey = RANDOM.randint(0, 2**16, (5, 6)).astype("uint16")
    expected = np.repeat((grey >> 8)[..., None], 3, axis=2)
    np.testing.assert_array_equal(decode(encode(Image.fromarray(grey), "TIFF")), expected)
    for deeper in ("int32", "float32"):
        with pytest.raises(UserError, match="x has samples of 32 bits; expected at most 16"):
            decode(encode(Image.fromarray(grey.astype(deeper)), "TIFF"), "x")


@pytest.mark.parametrize("form", ["WEBP", "TIFF"])
def test_first_picture_of_several(form):
    other = Image.fromarray(255 - RGB)
    options = {"lossless": True} if form == "WEBP" else {}
    data = encode(RGB, form, save_all=True, append_images=[other], **options)
    np.testing.assert_array_equal(decode(data), RGB)


def test_lossy_webp_is_near():
    difference = decode(encode(SMOOTH, "WEBP", quality=95)).astype(int) - SMOOTH
    assert np.abs(difference).mean() < 4  # chroma is halved


@pytest.mark.parametrize("side", [9_000, 10_000, 20_000])
def test_too_many_pixels_are_refused_before_decoding(side):
    data = encode(Image.new("1", (side, side)), "PNG")
    assert len(data) < 200_000
    with pytest.raises(UserError, match=f"big.png has {side} x {side} pixels; at most"):
        decode(data, "big.png")


def test_limit_is_the_callers():
    data = encode(RGB, "PNG")
    assert decode(data, max_pixels=12 * 17).shape == (12, 17, 3)
    with pytest.raises(UserError, match=r"x has too many pixels: .*400000000"):
        decode(encode(Image.new("1", (20_000, 20_000)), "TIFF", compression="group4"), "x")
    with pytest.raises(UserError, match="x has 17 x 12 pixels; at most 203 pixels"):
        decode(data, "x", max_pixels=203)
    with pytest.raises(UserError, match="x has 40 x 40 pixels"):  # a frame beyond its canvas
        decode(move_frame((17, 12), (0, 0), (40, 40)), "x", max_pixels=1000)


@pytest.mark.parametrize("form", ["ICO", "PPM", "JPEG2000"])
def test_other_formats_are_refused(form):
    with pytest.raises(UserError, match="x isn't a readable image; expected a JPEG, PNG, GIF, "):
        decode(encode(RGB, form), "x")


@pytest.fixture
def banner(tmp_path):
    """30 pixels wide, 10 high: red, green and blue squares."""
    path = tmp_path / "banner.png"
    path.write_bytes(
        encode(np.repeat(np.eye(3, dtype=np.uint8) * 255, 10, 0)[None].repeat(10, 0), "PNG")
    )
    return path


def test_fits(banner):
    crop = read_image(banner, 10, 10)
    assert (crop == [0, 255, 0]).all()
    stretch = read_image(str(banner), 6, 9, fit="stretch")
    np.testing.assert_array_equal(stretch[3, [0, 4, 8]], np.eye(3) * 255)
    pad = read_image(banner, 30, 30, fit="pad", background=9)
    assert (pad[:10] == 9).all()
    assert (pad[20:] == 9).all()
    np.testing.assert_array_equal(pad[10:20], decode(banner.read_bytes()))
    assert read_image(banner, 7, 5, channels=1).shape == (7, 5, 1)


@pytest.mark.parametrize("shape", [(40, 50), (15, 10), (10, 23), (16, 16), (90, 7)])
def test_crop_equals_the_transforms(tmp_path, shape):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encode(resize(SMOOTH, *shape).numpy(), "JPEG"))
    expected = center_crop(resize_short_side(decode(path.read_bytes()), 17), 17)
    np.testing.assert_array_equal(read_image(path, 17, 17), expected)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (200, 1), (3, 4)])
def test_every_shape_fits(tmp_path, fit, shape):
    path = tmp_path / "x.png"
    path.write_bytes(encode(np.full(shape, 8, np.uint8), "PNG"))
    image = read_image(path, 28, 20, channels=1, fit=fit, background=8)
    assert image.shape == (28, 20, 1)
    assert (image == 8).all()


def test_long_and_narrow_image_is_not_blown_up(tmp_path):
    path = tmp_path / "line.png"
    path.write_bytes(encode(np.zeros((1, 60_000), np.uint8), "PNG"))
    with pytest.raises(UserError, match=r"line.png is too long and narrow for fit='crop'"):
        read_image(path, 224, 224)
    assert read_image(path, 224, 224, fit="pad").shape == (224, 224, 3)


def test_paths_that_hold_no_image(tmp_path):
    (tmp_path / "notes.txt").write_text("no image\n")
    (tmp_path / "empty.png").touch()
    expected = {
        "missing.png": "can't read image .*missing.png: No such file",
        "": "can't read image .*: Is a directory",
        "notes.txt": "notes.txt isn't a readable image; expected a JPEG, PNG, GIF, BMP, WebP or",
        "empty.png": "empty.png is empty; expected a JPEG, PNG, GIF, BMP, WebP or",
    }
    for name, message in expected.items():
        with pytest.raises(UserError, match=message):
            read_image(tmp_path / name, 8, 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fit": "zoom"}, "crop, pad, stretch. Received: fit='zoom'"),
        ({"channels": 2}, "channels must be 1 or 3. Received: channels=2"),
        ({"background": 256}, r"background must be in 0\.\.255. Received: background=256"),
        ({"height": 0}, "height and width must be at least 1. Received: 0, 10"),
    ],
)
def test_arguments_are_checked(banner, changes, message):
    with pytest.raises(UserError, match=message):
        read_image(**({"path": banner, "height": 10, "width": 10} | changes))
