from __future__ import annotations

from dogcat.cleaning.survey import Survey, Unusable, Usable, outliers


def picture(path: str, width: int = 40, height: int = 30, excluded: int = 0) -> Usable:
    return Usable(path, "cat", excluded, 100, "JPEG", "RGB", 1, width, height, 12.5)


def test_outliers_are_those_that_few_share():
    widths = {"widest": lambda p: p.width}
    ten, twenty, thirty = picture("a", 10), picture("b", 20), picture("c", 30)
    assert outliers([ten, twenty, thirty], widths, most=2) == {"widest": [thirty, twenty]}
    assert outliers([ten, thirty], widths, most=2) == {"widest": [thirty, ten]}
    assert outliers([thirty, twenty, twenty, twenty], widths, most=2) == {"widest": [thirty]}
    assert outliers([twenty] * 3, widths, most=2) == {"widest": []}
    assert outliers([], widths, most=2) == {"widest": []}


def test_the_table_is_sorted_and_empty_where_nothing_is_known():
    found = Survey([picture("a"), picture("c", excluded=1)], [Unusable("b", "", 0, None, "unreadable", 'no "right"')])
    assert found.as_csv().decode() == (
        "path,label,excluded,bytes,format,mode,orientation,width,height,brightness,reason,detail\n"
        "a,cat,0,100,JPEG,RGB,1,40,30,12.5,,\n"
        'b,,0,,,,,,,,unreadable,"no ""right"""\n'
        "c,cat,1,100,JPEG,RGB,1,40,30,12.5,,\n"
    )
    assert found.pictures == 3 and found.kept().pictures == 2
