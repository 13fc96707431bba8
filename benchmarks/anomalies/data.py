"""The data of the anomalies' rows, from the folder that ISTHMUS_DATA names."""

from __future__ import annotations

import gzip
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.harness import Missing
from benchmarks.papers.data import folder
from isthmus.reading import read

__all__ = [
    "Labelled",
    "adbench",
    "adbench_names",
    "credit_cards",
    "kdd99",
    "leaky",
    "nsl_kdd",
    "paysim",
    "same_rows",
    "seen",
    "wisconsin",
]

# kddcup.names; the files have no header.
CONNECTION = (
    "duration protocol_type service flag src_bytes dst_bytes land wrong_fragment urgent hot num_failed_logins "
    "logged_in num_compromised root_shell su_attempted num_root num_file_creations num_shells num_access_files "
    "num_outbound_cmds is_host_login is_guest_login count srv_count serror_rate srv_serror_rate rerror_rate "
    "srv_rerror_rate same_srv_rate diff_srv_rate srv_diff_host_rate dst_host_count dst_host_srv_count "
    "dst_host_same_srv_rate dst_host_diff_srv_rate dst_host_same_src_port_rate dst_host_srv_diff_host_rate "
    "dst_host_serror_rate dst_host_srv_serror_rate dst_host_rerror_rate dst_host_srv_rerror_rate"
)
CELLS = (
    "clump_thickness size_uniformity shape_uniformity adhesion epithelial_size bare_nuclei bland_chromatin "
    "normal_nucleoli mitoses"
)


@dataclass(frozen=True)
class Labelled:
    """Rows and which of them are anomalies.

    Attributes
    ----------
    rows : numpy.ndarray or polars.DataFrame
        What a detector is given: no label, no name, nothing that says when.
    anomalous : numpy.ndarray of bool
        As the files say.
    group : numpy.ndarray, optional
        What else is known of each row and no detector sees: when it was, or whose.
    """

    rows: np.ndarray | pl.DataFrame
    anomalous: np.ndarray
    group: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.anomalous)


def adbench_names() -> list[str]:
    """Return the names of the shared ADBench sets, in the order of their numbers."""
    files = folder("adbench_classical").glob("*_*.npz")
    return [file.stem.partition("_")[2] for file in sorted(files, key=lambda file: int(file.stem.partition("_")[0]))]


def adbench(name: str) -> Labelled:
    """Return one ADBench set (Han et al., 2022) as it is in its file: no row added, none left out."""
    files = list(folder("adbench_classical").glob(f"*_{name}.npz"))
    if len(files) != 1:
        raise Missing(f"there is no ADBench set {name}; there are: {', '.join(adbench_names())}")
    with np.load(files[0], allow_pickle=False) as stored:
        return Labelled(stored["X"].astype(np.float64), stored["y"].astype(bool))


def leaky() -> set[str]:
    """Return the sets below 1,000 rows, which published tables draw from with replacement before they split."""
    bars = pl.read_csv(folder("reference") / "bars_classical47.csv")
    return set(bars.filter(pl.col("small_dup_leak") == 1)["dataset"])


def kdd99(part: str = "kddcup.data_10_percent") -> Labelled:
    """Return the KDD 99 connections of a file, its three text columns as text; attacks are the anomalies."""
    frame = _table(folder("kddcup99") / f"{part}.gz", f"{CONNECTION} label")
    return Labelled(frame.drop("label"), (frame["label"] != "normal.").to_numpy())


def nsl_kdd(part: str) -> Labelled:
    """Return the connections of 'KDDTrain+_20Percent', 'KDDTest+' or 'KDDTest-21', without their difficulty."""
    frame = _table(folder("nsl_kdd") / f"{part}.txt.gz", f"{CONNECTION} label difficulty")
    return Labelled(frame.drop("label", "difficulty"), (frame["label"] != "normal").to_numpy())


def credit_cards() -> Labelled:
    """Return the shared sample of ULB's credit-card transactions: 1,230 normal ones and 473 frauds.

    ``Time``, seconds since the first transaction of the full file, is the group and no feature:
    it says when a row was drawn. The sample's own row number is left out, and rows that are
    there twice are taken once (the file has 492 frauds).
    """
    frame = _whole(folder("creditcard_sample") / "creditcard_sample_1722.csv.gz")
    # pandas wrote the row number, in a column without a name.
    frame = frame.drop(frame.columns[0]).unique(maintain_order=True)
    return Labelled(frame.drop("Time", "Class"), (frame["Class"] == 1).to_numpy(), frame["Time"].to_numpy())


def paysim(after: bool) -> Labelled:
    """Return the shared sample of PaySim's transfers: type, amount, and balances before (and after) them.

    ``step``, the hour, is the group and no feature, for the split is by it. ``isFlaggedFraud`` says
    the label where it is 1, and names are left out. Balances after the transfer are known
    only once the money is gone.
    """
    frame = _whole(folder("paysim_sample") / "paysim_sample.csv.gz")
    features = ["type", "amount", "oldbalanceOrg", "oldbalanceDest"]
    features += ["newbalanceOrig", "newbalanceDest"] if after else []
    return Labelled(frame.select(features), (frame["isFraud"] == 1).to_numpy(), frame["step"].to_numpy())


def wisconsin() -> Labelled:
    """Return the original breast cancer set: 699 rows, 16 cells missing; the patient's number is the group."""
    frame = _table(folder("breast_cancer_wisconsin") / "breast-cancer-wisconsin.data", f"id {CELLS} class")
    return Labelled(frame.select(CELLS.split()), (frame["class"] == 4).to_numpy(), frame["id"].to_numpy())


def same_rows(frame: pl.DataFrame) -> tuple[pl.DataFrame, np.ndarray]:
    """Return the rows that differ, in the order they first appear, and for each row of the table which one it is."""
    ids = frame.select(pl.struct(pl.all()).rank("dense").cast(pl.Int64)).to_series().to_numpy() - 1
    _, first, which = np.unique(ids, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return frame[first[order]], np.argsort(order)[which]


def seen(train: np.ndarray | pl.DataFrame, test: np.ndarray | pl.DataFrame) -> np.ndarray:
    """Return which test rows have an exact copy among the training rows."""
    both = [rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows) for rows in (train, test)]
    _, which = same_rows(pl.concat(both))
    return np.isin(which[len(train) :], which[: len(train)])


def _table(path: Path, header: str) -> pl.DataFrame:
    """Read a file that has no header as the command line would if it had one."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "rows.csv"
        copy.write_bytes(header.replace(" ", ",").encode() + b"\n" + content)
        return _whole(copy)


def _whole(path: Path) -> pl.DataFrame:
    rows = read(path)
    if rows.set_aside:
        raise Missing(f"{path.name} has a row that cannot be used: {rows.set_aside[0]}")
    return rows.take(slice(None))
