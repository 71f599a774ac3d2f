"""Reading files that people bring in: real PDF and DOCX made here, and what is done to hurt the reader."""

from __future__ import annotations

import io
import json
import zipfile

import docx
import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from workspace import documents
from workspace.documents import NotReadable, read


def make_pdf(path, *pages, password=""):
    """A PDF with one line of text on each page."""
    writer = PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    for text in pages:
        page = writer.add_blank_page(width=300, height=300)
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
        )
        content = DecodedStreamObject()
        if text:
            content.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(content)
    if password:
        writer.encrypt(password)
    with path.open("wb") as out:
        writer.write(out)
    return path


def make_docx(path):
    document = docx.Document()
    document.add_heading("Release notes", 1)
    document.add_paragraph("Version 4 is out.")
    document.add_paragraph("Faster", style="List Bullet")
    table = document.add_table(rows=1, cols=2)
    table.cell(0, 0).text, table.cell(0, 1).text = "Name", "Lamp"
    document.add_paragraph("Thanks.")
    document.save(str(path))
    return path


def test_a_pdf_is_read_page_by_page(tmp_path):
    document = read(make_pdf(tmp_path / "a", "The lamp is lit.", "It is dark."), "a.pdf")
    assert document.text == "The lamp is lit.\n\nIt is dark." and document.note == ""


def test_a_docx_is_read_in_order_with_headings_lists_and_tables(tmp_path):
    document = read(make_docx(tmp_path / "a"), "a.docx")
    assert document.text == "# Release notes\n\nVersion 4 is out.\n\n- Faster\n\nName | Lamp\n\nThanks."


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Grüße\r\nund mehr\r\n".encode(), "Grüße\nund mehr"),
        (b"\xef\xbb\xbfa,b\n1,2", "a,b\n1,2"),
        ("Grüße".encode("utf-16"), "Grüße"),
        ("Grüße".encode("cp1252"), "Grüße"),
        (b"def f():\n\treturn 1\n", "def f():\n\treturn 1"),
    ],
)
def test_text_of_any_kind_is_decoded(tmp_path, raw, text):
    (tmp_path / "a").write_bytes(raw)
    assert read(tmp_path / "a", "a.txt").text == text


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "is empty"),
        (b" \n ", "is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "is not text"),
        (bytes(range(1, 32)) * 20, "is not text"),
        (b"%PDF-1.7\nnonsense", "is damaged, or not a PDF"),
        (b"PK\x03\x04nonsense", "is damaged"),
    ],
)
def test_what_is_not_a_document_says_so(tmp_path, raw, says):
    (tmp_path / "a").write_bytes(raw)
    with pytest.raises(NotReadable, match=says):
        read(tmp_path / "a", "a.bin")


def test_a_pdf_with_a_password_says_what_to_do(tmp_path):
    with pytest.raises(NotReadable, match="protected by a password"):
        read(make_pdf(tmp_path / "a", "Secret", password="x"), "a.pdf")


def test_a_pdf_of_pictures_says_that_it_needs_text_recognition(tmp_path):
    with pytest.raises(NotReadable, match="pictures of pages and no text"):
        read(make_pdf(tmp_path / "a", "", ""), "scan.pdf")


def test_only_the_first_pages_and_characters_are_kept_and_the_note_says_so(tmp_path, monkeypatch):
    document = read(make_pdf(tmp_path / "a", *(f"Page {n}" for n in range(1, 206))), "a.pdf")
    assert document.note == "the first 200 of 205 pages"
    assert "Page 200" in document.text and "Page 201" not in document.text
    (tmp_path / "b").write_text("x" * 600_000)
    long = read(tmp_path / "b", "b.txt")
    assert len(long.text) == 500_000 and long.note == "the first 500,000 of 600,000 characters"


def test_a_file_that_is_too_large_is_not_opened(tmp_path):
    with (tmp_path / "a").open("wb") as out:
        out.truncate(21 * 2**20)
    with pytest.raises(NotReadable, match=r"21\.0 MB; at most 20 MB"):
        read(tmp_path / "a", "a.pdf")


def test_a_zip_that_is_no_docx_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr("x.txt", "x")
    with pytest.raises(NotReadable, match="is not a DOCX file"):
        read(tmp_path / "a", "a.zip")


def test_a_docx_that_unpacks_to_a_flood_is_not_unpacked(tmp_path):
    archive = zipfile.ZipFile(tmp_path / "a", "w", zipfile.ZIP_DEFLATED)
    with archive, archive.open("word/document.xml", "w") as part:
        for _ in range(110):
            part.write(b" " * 2**20)
    assert (tmp_path / "a").stat().st_size < 2**20
    with pytest.raises(NotReadable, match="unpacks to more than 100 MB"):
        read(tmp_path / "a", "a.docx")


def test_a_docx_whose_directory_lies_about_its_size_is_damaged_and_no_more(tmp_path):
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b" " * 2**22)
    lie = plain.getvalue().replace((2**22).to_bytes(4, "little"), (64).to_bytes(4, "little"))
    (tmp_path / "a").write_bytes(lie)
    with pytest.raises(NotReadable, match="is damaged"):
        read(tmp_path / "a", "a.docx")


def test_entities_in_a_docx_do_not_multiply(tmp_path):
    source = make_docx(tmp_path / "good")
    bomb = '<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b "' + "&a;" * 1000 + '"><!ENTITY c "' + "&b;" * 1000 + '">]>'
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(tmp_path / "a", "w") as new:
        for part in old.infolist():
            data = old.read(part)
            if part.filename == "word/document.xml":
                head, mark, rest = data.decode().partition("?>")
                data = (head + mark + bomb + rest.replace("Thanks.", "&c;")).encode()
            new.writestr(part.filename, data)
    try:
        assert "lollol" not in read(tmp_path / "a", "a.docx").text
    except NotReadable as problem:
        assert "damaged" in str(problem)


def test_a_file_that_takes_too_long_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "SECONDS", 0.05)
    with pytest.raises(NotReadable, match="could not be read within"):
        read(make_pdf(tmp_path / "a", "x"), "a.pdf")


def test_a_reader_that_dies_takes_nobody_along(tmp_path, monkeypatch):
    monkeypatch.setattr(documents.sys, "executable", "/bin/false")
    with pytest.raises(NotReadable, match="could not be read: it is damaged, or unpacks"):
        read(make_pdf(tmp_path / "a", "x"), "a.pdf")


def test_no_more_comes_back_from_the_reader_than_is_kept(tmp_path, capsys, monkeypatch):
    flood = docx.Document()
    for _ in range(20):
        flood.add_paragraph("word " * 400)
    flood.save(tmp_path / "flood.docx")
    monkeypatch.setattr(documents, "MAX_CHARACTERS", 1000)
    monkeypatch.setattr("resource.setrlimit", lambda *limit: None)
    documents.main("docx", str(tmp_path / "flood.docx"))
    said = json.loads(capsys.readouterr().out)
    assert len(said["text"]) == 1000
    assert said["note"].startswith("the first 1,000 of ")
