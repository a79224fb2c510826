"""A table of photos: its columns, and rows that do not fit."""

import numpy as np
import pytest
from photo_folder import save
from rrrbench.datasets.photo_table import Columns, PhotoTable, in_order

GREY = np.full((16, 16), 90, np.uint8)


@pytest.fixture
def table(tmp_path):
    """Writes a table over three photos, and reads it."""
    root = tmp_path / "photos"
    for name in ("a", "b", "c"):
        save(root / "images" / f"{name}.png", GREY)
        save(root / "masks" / f"{name}.png", GREY)

    def read(text, masks=None, encoding="utf-8", **columns):
        (root / "all.csv").write_text(text, encoding=encoding)
        return PhotoTable(root / "all.csv", Columns(**columns), root, root / masks if masks else None).photos()

    return read


def test_path_and_label_are_enough(table):
    photos = table("path,label,more\nimages/a.png,cat,1\nimages/b.png,dog,2\n")
    assert [(photo.file.name, photo.label) for photo in photos] == [("a.png", "cat"), ("b.png", "dog")]
    assert all(photo[2:] == (None, None, None, None) and not photo.known for photo in photos)


@pytest.mark.parametrize(
    "text",
    [
        "path;label\r\nimages/a.png;cat\r\nimages/b.png;dog\r\n",
        "path\tlabel\nimages/a.png\tcat\n\nimages/b.png\tdog",
        '"path","label"\n"images/a.png","cat"\n"images/b.png","dog"\n',
        ",path,label\n0,images/a.png,cat\n1,images/b.png,dog\n",
        "path,label\nimages/a,cat\nimages/b,dog\n",
        "path,label\n./images/a.png,cat\nimages/../images/b.png, dog \n",
    ],
    ids=["semicolons", "tabs", "quotes", "pandas", "no endings", "roundabout"],
)
def test_tables_as_people_have_them(table, text):
    assert [(photo.file.name, photo.label) for photo in table(text)] == [("a.png", "cat"), ("b.png", "dog")]
    assert len(table(text, encoding="utf-8-sig")) == 2


def test_an_absolute_path_within_the_folder_is_taken(table, tmp_path):
    (photo,) = table(f"path,label\n{tmp_path}/photos/images/a.png,cat\n")
    assert photo.file == tmp_path / "photos/images/a.png"


@pytest.mark.parametrize(
    ("written", "part"),
    [("train", "train"), ("Val", "validation"), ("TEST", "test"), ("0", "train"), ("1", "validation"), ("2.0", "test")],
)
def test_parts_are_names_or_numbers(table, written, part):
    assert table(f"path,label,split\nimages/a.png,cat,{written}\n")[0].part == part


def test_masks_are_named_in_a_column_or_after_the_photos(table):
    a, b, c = table("path,label,mask\nimages/a.png,x,masks/a.png\nimages/b.png,y,\nimages/c.png,y,none\n")
    assert a.mask is not None
    assert a.mask.name == "a.png"
    assert (b.known, c.known, c.boxes) == (False, True, ())
    (a,) = table("path,label\nimages/a.png,x\n", masks="masks")
    assert a.mask is not None
    (a,) = table("path,label,mask\nimages/a.png,x,b\n", masks="masks")
    assert a.mask is not None
    assert a.mask.name == "b.png"


@pytest.mark.parametrize(
    ("written", "boxes"),
    [
        ("1 2 3 4", ((1, 2, 3, 4),)),
        ('"[1, 2, 3.5, 4]"', ((1, 2, 3.5, 4),)),
        ('"(1,2,3,4);(5,6,7,8)"', ((1, 2, 3, 4), (5, 6, 7, 8))),
        ("none", ()),
        ("", None),
    ],
)
def test_boxes_are_four_numbers_each(table, written, boxes):
    assert table(f"path,label,boxes\nimages/a.png,cat,{written}\n")[0].boxes == boxes


def test_boxes_may_have_a_column_each(table):
    text = "path,label,l,t,r,b\nimages/a.png,cat,1,2,3,4\nimages/b.png,cat,,,,\n"
    a, b = table(text, boxes=("l", "t", "r", "b"))
    assert (a.boxes, b.boxes) == (((1, 2, 3, 4),), None)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("path,label,boxes\nimages/a.png,cat,0.0 0.0 0.5 0.5\n", r"row 2: boxes has the box 0 0 0\.5 0\.5"),
        ("path,label,boxes\nimages/a.png,cat,3 3 9 9\nimages/b.png,cat,0.1 0.2 0.9 1\n", "row 3: boxes has the box"),
        ("path,label,boxes\nimages/a.png,cat,3 3 9 9 0 0 0.5 1\n", r"row 2: boxes has the box 0 0 0\.5 1"),
        ("path,label,boxes\nimages/a.png,cat,0.2 0.2 1.0004 0.9998\n", "row 2: boxes has the box"),
        (
            "path,label,boxes\nimages/a.png,cat,0.5 0.5 0.3 0.2\n",
            "row 2: boxes has the box",
        ),  # YOLO's
        ("path,label,boxes\nimages/a.png,cat,-0.001 0 0.3 0.2\n", "row 2: boxes has the box"),
        ("path,label,boxes\nimages/a.png,cat,1e-1 1e-1 5e-1 5e-1\n", "row 2: boxes has the box"),
        (
            "path,label,boxes\nimages/c.png,cat,\nimages/a.png,cat,0 0 1 1\nimages/b.png,cat,0 0 1.0 1.0\n",
            "row 3: boxes and all others",
        ),
        ("path,label,l,t,r,b\nimages/a.png,cat,0.1,0.2,0.3,0.4\n", "row 2: l, t, r, b has the box"),
    ],
)
def test_boxes_that_are_shares_of_the_photo_are_refused(table, text, row):
    columns = {"boxes": ("l", "t", "r", "b")} if "l,t,r,b" in text else {}
    with pytest.raises(ValueError, match=rf"{row}.*shares of the photo.*multiply x by the width"):
        table(text, **columns)


def test_a_box_of_a_pixel_beside_others_is_in_pixels(table):
    a, b = table("path,label,boxes\nimages/a.png,cat,0 0 1 1\nimages/b.png,cat,0.5 0.5 3.5 3.5\n")
    assert (a.boxes, b.boxes) == (((0, 0, 1, 1),), ((0.5, 0.5, 3.5, 3.5),))


SAME = {
    "a float": ("1", "1.0"),
    "zeros before": ("1", "01"),
    "a sign": ("1", "+1"),
    "minus zero": ("0", "-0.0"),
    "an exponent": ("10", "1e1"),
    "case": ("Yes", "yes"),
    "sharp s": ("STRASSE", "straße"),
    "two spaces": ("golden retriever", "golden  retriever"),
    "a fixed space": ("golden retriever", "golden\u00a0retriever"),
    "an accent": ("caf\u00e9", "cafe\u0301"),
    "an invisible space": ("cat", "cat\u200b"),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
@pytest.mark.parametrize("column", ["label", "shortcut"])
def test_two_spellings_of_a_value_are_refused(table, one, other, column):
    values = [one, "2", other]
    rows = "".join(f"images/{name}.png,{value},{value}\n" for name, value in zip("abc", values, strict=True))
    with pytest.raises(ValueError, match=rf"all\.csv, row 4: {column} is '.*', and '.*' in row 2: write one of them"):
        table(f"path,{'label,shortcut' if column == 'label' else 'more,shortcut'}\n{rows}", **LABELLED[column])


LABELLED = {"label": {}, "shortcut": {"label": "path"}}


@pytest.mark.parametrize(
    "values",
    [
        ("a", "A", "b"),
        ("1", "1", "10"),
        ("1", "one", "I"),
        ("9007199254740993", "9007199254740992", "1"),
        ("1e99999999999999999999", "1e99999999999999999998", "1"),
        ("1_0", "10", "0x1"),
        ("1.0", "2.0", "1.0"),
        ("x2", "x²", "x"),
        ("golden_retriever", "golden retriever", "golden-retriever"),
    ],
)
def test_names_that_are_different_stay_different(table, values):
    rows = "".join(f"images/{name}.png,{value}\n" for name, value in zip("abc", values, strict=True))
    assert [photo.label for photo in table(f"path,label\n{rows}")] == list(values)


def test_minus_one_beside_one_alone_is_a_value(table):
    """As in the attributes of CelebA."""
    photos = table("path,label,shortcut\nimages/a.png,cat,1\nimages/b.png,dog,-1\n")
    assert [photo.shortcut for photo in photos] == ["1", "-1"]


HEADER = "path,label,split,mask,boxes\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"has no column 'path' \(path\)|has no rows"),
        ("path,label\n", r"all\.csv has no rows: expected a header with path and label"),
        ("file,label\nimages/a.png,cat\n", r"has no column 'path' \(path\); .*columns = \{ path = "),
        ("path,label,label\nimages/a.png,cat,cat\n", r"two columns 'label'"),
        ("path,label\nimages/a.png,cat,1\n", r"row 2: 3 values, expected 2"),
        ("path,label\nimages/a.png,cat\nimages/a.png,dog\n", r"row 3: path is 'images/a\.png', the photo of row 2"),
        ("path,label\nimages/a.png,\n", r"row 2: label is empty"),
        ("path,label\nimages/a.png,cat\nimages/b.png,NaN\n", r"row 3: label is 'NaN', which stands for no value: give"),
        ("path,label\nimages/a.png, nan \n", r"row 2: label is 'nan', .*the photo's class, or remove the row"),
        ("path,label\nimages/a.png,<NA>\n", r"row 2: label is '<NA>'"),
        ("path,label\nimages/a.png,NA\n", r"row 2: label is 'NA', which stands for no value"),
        ("path,label\nimages/a.png,#N/A\n", r"row 2: label is '#N/A', which stands for no value"),
        ("path,label,shortcut\nimages/a.png,cat,N/A\n", r"row 2: shortcut is 'N/A': leave the cell empty where"),
        ("path,label,shortcut\nimages/a.png,cat,nan\n", r"row 2: shortcut is 'nan': leave the cell empty where"),
        ("path,label\nimages/z.png,cat\n", r"row 2: path is 'images/z\.png', but there is no file"),
        ("path,label\nimages\\a.png,cat\n", r"there is no file .*: write / in place of \\ between folders"),
        ("path,label\nimages/A.PNG,cat\n", r"there is no file .*: a\.png is there, and upper and lower case are two"),
        (
            "path,label,shortcut\nimages/a.png,cat,0\nimages/b.png,cat,1\nimages/c.png,cat,-1\n",
            r"row 4: shortcut is '-1', beside 0 in other rows: leave the cell empty where the value is not known",
        ),
        ("path,label\n../secret.png,cat\n", r"row 2: path is '\.\./secret\.png', expected a file in .*nothing outside"),
        ("path,label\n/etc/passwd,cat\n", r"row 2: path is '/etc/passwd', expected a file in"),
        ("path,label\n,cat\n", r"row 2: path is '', expected a file in"),
        (f"{HEADER}images/a.png,cat,train,,\nimages/b.png,cat,spam,,\n", r"row 3: split is 'spam', expected train"),
        (f"{HEADER}images/a.png,cat,,,\n", r"row 2: split is '', expected train"),
        (f"{HEADER}images/a.png,cat,0,../../x.png,\n", r"row 2: mask is '\.\./\.\./x\.png', expected a file in"),
        (f"{HEADER}images/a.png,cat,0,masks/a.png,1 2 3 4\n", r"row 2: boxes and mask both say where"),
        (f"{HEADER}images/a.png,cat,0,,1 2 3\n", r"row 2: boxes is '1 2 3', expected x0 y0 x1 y1"),
        (f"{HEADER}images/a.png,cat,0,,left\n", r"row 2: boxes is 'left', expected x0 y0 x1 y1"),
        (f"{HEADER}images/a.png,cat,0,,5 5 3 3\n", r"row 2: boxes has the box 5 5 3 3, expected .*x \+ width"),
    ],
)
def test_an_error_names_the_row_the_column_the_value_and_a_way_out(table, text, says):
    with pytest.raises(ValueError, match=says):
        table(text)


def test_a_link_to_a_folder_outside_is_refused(table, tmp_path):
    save(tmp_path / "outside/x.png", GREY)
    (tmp_path / "photos").mkdir(exist_ok=True)
    (tmp_path / "photos/linked").symlink_to(tmp_path / "outside")
    with pytest.raises(ValueError, match=r"linked is a link to .*outside.*nothing outside the named folder is read"):
        table("path,label\nlinked/x.png,cat\n")


def test_a_column_that_is_named_has_to_be_there(table):
    with pytest.raises(ValueError, match=r"no column 'Split' \(split\); did you mean split"):
        table("path,label,split\nimages/a.png,cat,0\n", split="Split")


def test_a_table_in_another_encoding_is_an_error(table):
    with pytest.raises(ValueError, match=r"all\.csv is not UTF-8"):
        table("path,label\nimages/a.png,Käfer\n", encoding="latin-1")


def test_numbers_are_in_the_order_of_their_values():
    assert in_order({"10", "9", "-1"}) == ["-1", "9", "10"]
    assert in_order({"10", "9", "x"}) == ["10", "9", "x"]
    assert in_order({"1.0", "0.0"}) == ["0.0", "1.0"]
