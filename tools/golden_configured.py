#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/nn_{modernbert,longformer,deberta}*.safetensors with PyTorch and transformers 5: tiny random models whose config.json, which is
stored in the file's metadata, says more than sizes.

    golden_configured.py OUT_FOLDER [NAME...]

Everything else is as golden_nn.py has it."""
import json
import sys

import golden_nn
import torch
import transformers

SIZES = dict(vocabulary=97, positions=64, types=1, labels=2)
V3 = dict(relative_attention=True, position_biased_input=False, share_att_key=True, pos_att_type="p2c|c2p", norm_rel_ebd="layer_norm")
V2 = dict(relative_attention=True, position_biased_input=True, share_att_key=False, norm_rel_ebd="layer_norm")
CASES = {
    "modernbert": dict(SIZES, width=24, heads=3, inner=17, layers=4, labels=3, dropout=True, steps=True,
                       more=dict(local_attention=8)),
    "modernbert_mean": dict(SIZES, width=20, heads=5, inner=31, layers=3, labels=5, dropout=True,
                            more=dict(local_attention=64, classifier_pooling="mean", norm_bias=True, mlp_bias=True,
                                      attention_bias=True, classifier_bias=True, hidden_activation="gelu_pytorch_tanh",
                                      layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                                      rope_parameters=dict(full_attention=dict(rope_type="default", rope_theta=500.0),
                                                           sliding_attention=dict(rope_type="default", rope_theta=20.0)))),
    "modernbert_local": dict(SIZES, width=36, heads=3, inner=40, layers=2, dropout=True, steps=True,
                             more=dict(local_attention=2, mlp_bias=True)),
    "modernbert_one": dict(SIZES, width=16, heads=1, inner=20, layers=1, more=dict(norm_eps=1e-3)),
    "longformer": dict(SIZES, pad=1, width=24, heads=3, inner=17, layers=3, labels=3, steps=True,
                       more=dict(attention_window=[4, 64, 8])),
    "longformer_one": dict(SIZES, pad=1, width=20, heads=5, inner=31, layers=1, more=dict(attention_window=[6], hidden_act="relu")),
    "deberta": dict(SIZES, types=0, width=24, heads=3, inner=17, layers=3, labels=3, dropout=True, steps=True,
                    more=dict(V3, position_buckets=8)),
    "deberta_long": dict(SIZES, types=0, width=20, heads=5, inner=31, layers=2, labels=2,
                         more=dict(V3, position_buckets=256, max_relative_positions=512, hidden_act="gelu_new")),
    "deberta_v2": dict(SIZES, types=3, width=36, heads=3, inner=40, layers=2, labels=5, dropout=True, steps=True,
                       more=dict(V2, pos_att_type="p2c|c2p", position_buckets=12, max_relative_positions=20)),
    "deberta_keys": dict(SIZES, types=2, width=16, heads=1, inner=20, layers=2,
                         more=dict(V2, pos_att_type=["c2p"], max_relative_positions=6, norm_rel_ebd="none")),
    "deberta_queries": dict(SIZES, types=0, width=20, heads=5, inner=20, layers=1, dropout=True,
                            more=dict(V2, pos_att_type=["p2c"], position_buckets=-1, layer_norm_eps=1e-3)),
    "deberta_shared_queries": dict(SIZES, types=0, width=24, heads=3, inner=20, layers=2,
                                   more=dict(V3, pos_att_type="p2c", position_buckets=20)),
    "deberta_shared_keys": dict(SIZES, types=0, width=20, heads=2, inner=20, layers=2,
                                more=dict(V3, pos_att_type="c2p", norm_rel_ebd="none")),
}


def make_config(case):
    if "attention_window" in case["more"]:
        return transformers.LongformerConfig(
            vocab_size=case["vocabulary"], hidden_size=case["width"], num_hidden_layers=case["layers"],
            num_attention_heads=case["heads"], intermediate_size=case["inner"], max_position_embeddings=case["positions"],
            type_vocab_size=1, num_labels=case["labels"], pad_token_id=case["pad"], sep_token_id=2, bos_token_id=0, eos_token_id=2,
            hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, layer_norm_eps=1e-12, **case["more"])
    if "pos_att_type" in case["more"]:
        return transformers.DebertaV2Config(
            vocab_size=case["vocabulary"], hidden_size=case["width"], num_hidden_layers=case["layers"],
            num_attention_heads=case["heads"], intermediate_size=case["inner"], max_position_embeddings=case["positions"],
            type_vocab_size=case["types"], num_labels=case["labels"], pad_token_id=0,
            **(dict(hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.3, cls_dropout=0.4, pooler_dropout=0.35)
               if case.get("dropping") else dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)), **case["more"])
    return transformers.ModernBertConfig(
        vocab_size=case["vocabulary"], hidden_size=case["width"], num_hidden_layers=case["layers"],
        num_attention_heads=case["heads"], intermediate_size=case["inner"], max_position_embeddings=case["positions"],
        num_labels=case["labels"], pad_token_id=0, cls_token_id=1, sep_token_id=2, bos_token_id=1, eos_token_id=2,
        **({} if not case.get("dropping") else dict(embedding_dropout=0.2, attention_dropout=0.3, mlp_dropout=0.2,
                                                   classifier_dropout=0.4)), **case["more"])


def make_model(case, seed):
    config = make_config(case)
    config._attn_implementation = "eager"
    model = transformers.AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(golden_nn.made_weight(seed, name, tuple(parameter.shape)))
    return model.eval()


def run_rows(model, rows):
    """Hidden states: the residual stream behind every layer but the last."""
    encoder = getattr(model, "longformer", getattr(model, "deberta", None))
    layers = encoder.encoder.layer if encoder else model.model.layers
    typed = hasattr(model, "deberta") and model.config.type_vocab_size > 0
    hidden = [[] for _ in layers]
    hooks = [layer.register_forward_hook(lambda module, args, out, to=to: to.append(out[0] if isinstance(out, tuple) else out))
             for layer, to in zip(layers, hidden)]
    logits = torch.cat([model(input_ids=torch.tensor([r["ids"]]), **(dict(token_type_ids=torch.tensor([r["types"]])) if typed else {})).logits
                        for r in rows])
    for hook in hooks:
        hook.remove()
    return logits, [torch.cat([x[0, :len(r["ids"])] for x, r in zip(of, rows)]) for of in hidden[:-1]]


def metadata(**about):
    case = {k: v for k, v in about.items() if k not in ("seed", "more", "dropping", "steps", "dropout")}
    config = make_config(about).to_dict()
    return plain_metadata(seed=about["seed"], config=json.dumps(config), **case) | {"made_by": "tools/golden_configured.py"}


class Masks(golden_nn.Masks):
    """DeBERTa's: of the embeddings of distances, which all rows share, by the number of the batch's first row."""

    def __init__(self, seed, epoch, layers, family="bert"):
        super().__init__(seed, epoch, layers, family)
        self.distances = [0x4000 + layer for layer in range(layers)]
        self.sites = [3] + [site for layer in range(layers) for site in (0x4000 + layer, 4 * layer, 4 * layer + 1, 4 * layer + 2)] + [11, 7]

    def __call__(self, x, p=0.5, training=True, inplace=False):
        if self.sites[self.calls] not in self.distances:
            return super().__call__(x, p, training, inplace)
        row, self.row = self.row, 5
        ret = super().__call__(x[None], p, training, inplace)[0]
        self.row = row
        return ret


def probability(name):
    if DEBERTA:
        return {"dropout": 0.4, "pooler.dropout": 0.35}.get(name, 0.3 if name.endswith("self.dropout") else 0.2)
    return 0.4 if name == "drop" else 0.3 if "attn" in name else 0.2


DEBERTA = False
plain_masks, plain_metadata = golden_nn.Masks, golden_nn.metadata
golden_nn.make_model, golden_nn.run_rows, golden_nn.metadata = make_model, run_rows, metadata
golden_nn.probability = probability
if __name__ == "__main__":
    torch.manual_seed(0)
    for i, (name, case) in enumerate(CASES.items()):
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        DEBERTA = "pos_att_type" in case["more"]
        golden_nn.Masks = Masks if DEBERTA else plain_masks
        golden_nn.golden_tiny(sys.argv[1], name, case, 70 + i)
        if case.get("dropout"):
            golden_nn.golden_dropout(sys.argv[1], dict(case, dropping=True), 170 + i, name + "_dropout")
        if case.get("steps"):
            golden_nn.golden_steps(sys.argv[1], dict(case, labels=2), 270 + i, name + "_steps")
