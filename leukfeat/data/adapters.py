"""The public data sets leukfeat knows: one literal table of facts, and the detection of a layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from leukfeat.data import cnmc, layouts
from leukfeat.data.listing import Listing, Tree


@dataclass(frozen=True)
class Adapter:
    """What is known of a data set, and how its files become a listing.

    Attributes
    ----------
    name, title : str
        What the user types, and what people call it.
    layout : str
        The folders and file names it is recognised by.
    counts : str
        What its publishers or independent counts state; what a user's copy holds is counted, never taken from here.
    licence, where : str
        On which terms, and where it is to be had.
    positive : str or None
        The class that counts as positive; ``None`` where several classes do, or none does.
    subjects : bool
        Whether file names say whose cells they are.
    matches : callable(Tree) -> bool
        Whether a tree looks like this data set. Names suffice, so a checksum list can be recognised too.
    read : callable(Tree) -> Listing
        Lists it.
    """

    name: str
    title: str
    layout: str
    counts: str
    licence: str
    where: str
    positive: str | None
    subjects: bool
    matches: Callable[[Tree], bool]
    read: Callable[[Tree], Listing]


def _named(
    name: str,
    describe: layouts.Describe,
    *,
    title: str,
    layout: str,
    counts: str,
    licence: str,
    where: str,
    positive: str | None = None,
    subjects: bool = False,
    belongs: Callable[[str], bool] | None = None,
    read: Callable[[Tree], Listing] | None = None,
) -> Adapter:
    """An adapter whose every image is described by its own path."""
    return Adapter(
        name=name,
        title=title,
        layout=layout,
        counts=counts,
        licence=licence,
        where=where,
        positive=positive,
        subjects=subjects,
        matches=lambda tree: layouts.matches(tree, belongs or layouts.belongs(describe)),
        read=read or (lambda tree: layouts.listing(tree, name, describe, positive)),
    )


# In the order of detection: the first whose names fit is taken.
_ADAPTERS = (
    Adapter(
        name="cnmc",
        title="C-NMC 2019 (ISBI 2019 challenge, B-ALL versus normal cells)",
        layout="training_data/fold_{0,1,2}/{all,hem}/UID_*.bmp, validation_data/ with its label CSV, testing_data/",
        counts="10,661 training (7,272 ALL, 3,389 HEM; 73 subjects), 1,867 preliminary, 2,586 final without labels",
        licence="CC BY; verify the version on The Cancer Imaging Archive; cite Gupta & Gupta 2019",
        where="The Cancer Imaging Archive, collection 'C-NMC 2019'; Kaggle andrewmvd/leukemia-classification",
        positive=cnmc.POSITIVE,
        subjects=True,
        matches=lambda tree: layouts.matches(tree, cnmc.matches),
        read=cnmc.read,
    ),
    _named(
        "taleqani",
        layouts.taleqani,
        title="Taleqani Hospital ALL fields (Aria et al. 2021)",
        layout="[Original|Segmented]/{Benign,Early,Pre,Pro}/WBC-*.jpg",
        counts="3,256 fields: 504 Benign, 985 Early, 963 Pre, 804 Pro; 89 patients, not named in the files",
        licence="as on its Kaggle page; not verified",
        where="Kaggle mehradaria/leukemia",
        read=layouts.read_taleqani,
    ),
    _named(
        "all-idb1",
        layouts.all_idb1,
        title="ALL-IDB1 (Labati et al. 2011), whole fields",
        layout="ALL_IDB1/im/ImNNN_Y.jpg, Y = 1: patient with ALL",
        counts="108 fields",
        licence="research, on request",
        where="homes.di.unimi.it/scotti/all (request form)",
        positive="ALL",
    ),
    _named(
        "all-idb2",
        layouts.all_idb2,
        title="ALL-IDB2 (Labati et al. 2011), single cells cut from ALL-IDB1",
        layout="ALL_IDB2/img/ImNNN_Y.tif, Y = 1: blast",
        counts="260 cells: 130 blasts, 130 normal; never train on one of ALL-IDB1 and 2 and test on the other",
        licence="research, on request",
        where="homes.di.unimi.it/scotti/all (request form)",
        positive="blast",
    ),
    _named(
        "lmu-aml",
        layouts.lmu_aml,
        title="AML-Cytomorphology_LMU (Matek et al. 2019)",
        layout="AML-Cytomorphology/<CLASS>/<CLASS>_NNNN.tiff",
        counts="18,365 cells of 15 classes; 100 patients with AML and 100 controls, not named in the files",
        licence="see The Cancer Imaging Archive",
        where="The Cancer Imaging Archive, collection 'AML-Cytomorphology_LMU'",
    ),
    _named(
        "mll-helmholtz",
        layouts.mll_helmholtz,
        title="AML-Cytomorphology_MLL_Helmholtz (Hehr et al. 2023)",
        layout="data/<genetic class>/<patient>/image_N.tif",
        counts="81,214 or 101,949 cells (sources differ) of 189 subjects; 5 classes",
        licence="see The Cancer Imaging Archive",
        where="The Cancer Imaging Archive, collection 'AML-Cytomorphology_MLL_Helmholtz'",
        subjects=True,
    ),
    _named(
        "raabin",
        layouts.raabin,
        title="Raabin-WBC (Kouzehkanan et al. 2022)",
        layout="{Train,TestA,TestB}/{Basophil,Eosinophil,Lymphocyte,Monocyte,Neutrophil}/*.jpg",
        counts="10,175 Train and 4,339 TestA; TestB from another microscope and camera",
        licence="stated as free on its site; verify",
        where="raabindata.com",
    ),
    _named(
        "pbc",
        layouts.pbc,
        title="PBC Barcelona, normal peripheral blood cells (Acevedo et al. 2020)",
        layout="PBC_dataset_normal_DIB/<class>/PREFIX_NNNNNN.jpg, or one folder: the prefix is the class",
        counts="17,092 cells of 8 classes, healthy people only",
        licence="CC BY 4.0",
        where="Mendeley Data snkd93bnjr",
        belongs=layouts.is_pbc,
    ),
    Adapter(
        name="bloodmnist",
        title="BloodMNIST (MedMNIST v2; the cells of PBC Barcelona, made small)",
        layout="bloodmnist[_64|_128|_224].npz with {train,val,test}_{images,labels}",
        counts="11,959 train, 1,712 val, 3,421 test; 8 classes",
        licence="CC BY 4.0",
        where="medmnist.com",
        positive=None,
        subjects=False,
        matches=lambda tree: bool(layouts.bloodmnist_files(tree)) and not tree.images,
        read=layouts.read_bloodmnist,
    ),
    Adapter(
        name="folders",
        title="any data set with one folder a class",
        layout="[train|val|test/]<class>/…",
        counts="counted",
        licence="the owner's",
        where="your own",
        positive=None,
        subjects=False,
        matches=layouts.has_class_folders,
        read=layouts.read_folders,
    ),
)

ADAPTERS: dict[str, Adapter] = {adapter.name: adapter for adapter in _ADAPTERS}


def detect(tree: Tree) -> Adapter | None:
    """The first data set of the table that a tree looks like; None where nothing fits.

    Examples
    --------
    >>> from pathlib import Path
    >>> tree = Tree(names=("fold_0/hem/UID_H7_1_2_hem.bmp",), root=Path("data"))
    >>> detect(tree).name
    'cnmc'
    """
    return next((adapter for adapter in ADAPTERS.values() if adapter.matches(tree)), None)
