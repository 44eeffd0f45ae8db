#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Golden files of the TF-IDF baseline, made with scikit-learn.

usage: golden_baseline.py                        writes tests/golden/baseline_{tfidf,linear}.json
       golden_baseline.py --compare FILE N MIN   what scikit-learn makes of the first N rows of FILE (JSON Lines with `text` and a list
                                                 `tags`), labels with at least MIN rows: beside bench_baseline FILE N MIN
"""
import json
import os
import random
import sys

import numpy as np
import sklearn
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden")
TOOLS = {"scikit-learn": sklearn.__version__, "numpy": np.__version__, "python": sys.version.split()[0]}


def vectorizer(min_df, limit):
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=min_df, max_features=limit)


def tfidf_case(name, fit, score, min_df, limit=None):
    v = vectorizer(min_df, limit)
    v.fit(fit)
    terms = v.get_feature_names_out().tolist()
    matrix = v.transform(fit + score)
    rows = []
    for i in range(matrix.shape[0]):
        row = matrix[i]
        order = np.argsort(row.indices)
        rows.append([row.indices[order].tolist(), [float(x) for x in row.data[order]]])
    return {"name": name, "fit": fit, "score": score, "min_df": min_df, "max_features": limit or 200000, "terms": terms,
            "idf": v.idf_.tolist(), "rows": rows}


def tfidf():
    chance = random.Random(5)
    words = [f"w{i}" for i in range(40)]
    plain = [" ".join(chance.choices(words, weights=[1 / (i + 1) for i in range(40)], k=chance.randint(0, 25))) for _ in range(40)]
    traps = ["Don't stop: a b c d2 e-mail e-mail", "snake_case and CamelCase and UPPER", "", "   ", "a b c", "über ÜBER straße STRASSE ﬁsh",
             "Привет МИР, привет мир", "ΟΔΟΣ ΟΔΟΣ. ΣΑΣ'Σ ὈΔΥΣΣΕΎΣ Σ ΑΣ.Β ΑΣ. Β", "İstanbul ISTANBUL ıspanak xİy İİ", "日本語 の テキスト 日本語 カタカナ", "हिन्दी में हिन्दी",
             "x² ½ Ⅳ Ⅳa ⅳa ١٢٣ 12 1 3.14 1,000", "tab\tnew\nline\u00a0nbsp\u200bzero\u00adsoft", "e\u0301te\u0301 été", "𝒳𝒴 𐐀𐐁 𐐨𐐩 🙂🙂 ⒶⒷ",
             "don’t can‘t it`s", "ªº ʰello Ａｂｃ １２", "word\ufffdword", "Ǆ ǅ ǆ ǄǄ ẞẞ ΐΐ Ⴀა ᏣᎳᎩ ꭳꮃ"]
    counted = []  # w<i> occurs in no two equal numbers, so that a limit has one outcome
    for i in range(12):
        counted += [f"q{i:02d} s{i:02d}x" if k % 2 else f"q{i:02d}" for k in range(2 * i + 2)]
    return [tfidf_case("plain", plain, ["w0 w1 w0 w0 unknown w1 w2", "unknown"], 2), tfidf_case("once", plain[:6], plain[6:9], 1),
            tfidf_case("unicode", traps, ["Σ", "ΑΣ"], 1), tfidf_case("limited", counted, ["q11 q10 s11x"], 1, 9)]


def linear():
    """Texts whose words hang together with labels, loosely; one label is rare, one never occurs in train, one always does."""
    chance = random.Random(11)
    rows, words = [], [f"word{i}" for i in range(120)]
    for _ in range(260):
        labels = [int(chance.random() < share) for share in (0.4, 0.15, 0.05)]
        text = chance.choices(words, k=chance.randint(4, 14))
        for k, on in enumerate(labels):
            text += [f"word{chance.randint(10 * k, 10 * k + 12)}" for _ in range(3 * on + chance.randint(0, 1))]
        chance.shuffle(text)
        rows.append((" ".join(text), labels))
    train, test = rows[:200], rows[200:]
    texts, truth = [t for t, _ in train], np.array([y for _, y in train])
    v = vectorizer(2, None)
    x, z = v.fit_transform(texts), v.transform([t for t, _ in test])
    result = {}
    for name, weight in (("none", None), ("balanced", "balanced")):
        fits = [LogisticRegression(C=1, solver="liblinear", tol=1e-8, class_weight=weight).fit(x, truth[:, k]) for k in range(3)]
        result[name] = {"decisions": np.stack([f.decision_function(z) for f in fits], 1).tolist(),
                        "top": [[str(v.get_feature_names_out()[i]) for i in np.argsort(-f.coef_[0])[:3]] for f in fits]}
    return {"train": texts, "test": [t for t, _ in test], "truth": truth.tolist(), "test_truth": [y for _, y in test], "min_df": 2,
            "features": len(v.vocabulary_), **result}


def write(name, value):
    with open(os.path.join(GOLDEN, name), "w") as file:
        json.dump({"tools": TOOLS, "made_by": "tools/golden_baseline.py", **value}, file, ensure_ascii=True, separators=(",", ":"))
        file.write("\n")


def compare(path, count, least):
    rows = [json.loads(line) for _, line in zip(range(count), open(path))]
    totals = {}
    for row in rows:
        for tag in row["tags"]:
            totals[tag] = totals.get(tag, 0) + 1
    labels = sorted(tag for tag, n in totals.items() if n >= least)
    truth = np.array([[tag in set(row["tags"]) for tag in labels] for row in rows], dtype=int)
    texts, edge = [row["text"] for row in rows], count * 4 // 5
    v = vectorizer(2, 200000)
    x, z = v.fit_transform(texts[:edge]), v.transform(texts[edge:])
    for weight in (None, "balanced"):
        p = OneVsRestClassifier(LogisticRegression(C=1, solver="liblinear", class_weight=weight)).fit(x, truth[:edge]).predict_proba(z)
        f1 = {average: f1_score(truth[edge:], p >= 0.5, average=average, zero_division=0) for average in ("micro", "macro")}
        print(f"{len(labels)} labels, {x.shape[1]} features, weights {weight}: micro F1 {f1['micro']:.4f}  macro F1 {f1['macro']:.4f}")


if sys.argv[1:2] == ["--compare"]:
    compare(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
else:
    write("baseline_tfidf.json", {"cases": tfidf()})
    write("baseline_linear.json", linear())
