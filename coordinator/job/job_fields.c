/* SPDX-License-Identifier: Apache-2.0 */
/* The table of job keys: reading, checking, printing and explaining a job all walk it. */
#include "coordinator/job/job_fields.h"

#include "common/base/buffer.h"
#include "common/base/device_kind.h"
#include "common/base/launcher_kind.h"
#include "common/base/lora_bias.h"
#include "common/base/memory.h"
#include "common/base/near.h"
#include "common/base/precision.h"
#include "common/base/schedule_kind.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) .offset = offsetof(struct job, member)
#define WORDS(...)                                                                                                               \
    .words = (const char *const[])                                                                                               \
    {                                                                                                                            \
        __VA_ARGS__, NULL                                                                                                        \
    }
#define LARGEST_EXACT 9007199254740991.0 /* 2^53 - 1 */

const struct job_field job_fields[] = {
    {"name", JOB_STRING, 0, "null", AT(name),
     .help = "name of the run and of <name>.zip, the packed bundle; default: the job file's name"},
    {"out", JOB_STRING, JOB_FREE | JOB_PATH, "null", AT(out), .also = "output output_dir",
     .help = "run directory; default: runs/<name>"},
    {"model", JOB_STRING, JOB_REQUIRED | JOB_PATH, "null", AT(model), .also = "model_name model_path pretrained",
     .help = "directory of a Hugging Face model, or a Hub name that is in the local cache"},
    {"adapter", JOB_STRING, JOB_NULL | JOB_PATH | JOB_LATER, "null", AT(adapter), .also = "adapter_name_or_path lora_weights",
     .help = "directory of a PEFT LoRA adapter of the model, from which training goes on: as an adapter (train.method lora), or "
             "merged into the weights (full)"},
    {"seed", JOB_SEED, JOB_SWEPT, "42", 0, LARGEST_EXACT, AT(seed),
     .help = "random seed of the split, shuffling, new weights and dropout"},
    {"task", JOB_WORD, 0, "\"single_label_classification\"", AT(task),
     WORDS("single_label_classification", "multi_label_classification"), .help = "type of classification"},

    {"data.path", JOB_STRING, JOB_NULL | JOB_PATH, "null", AT(data.path), .also = "file",
     .help = "the data: JSON Lines, CSV or TSV, also compressed (.gz, .zst)"},
    {"data.train_path", JOB_STRING, JOB_NULL | JOB_PATH, "null", AT(data.train_path),
     .help = "training data, where it comes already split (instead of data.path)"},
    {"data.validation_path", JOB_STRING, JOB_NULL | JOB_PATH, "null", AT(data.validation_path),
     .help = "validation data, where it comes already split; null: drawn from the training data, by whole groups and labels, "
             "as much of it as split.validation is of train and validation"},
    {"data.test_path", JOB_STRING, JOB_NULL | JOB_PATH, "null", AT(data.test_path),
     .help = "test data, where it comes already split"},
    {"data.id", JOB_STRING, JOB_NULL, "null", AT(data.id),
     .help = "field with the row's id; null: the line number (of a second and third file, 2:LINE and 3:LINE)"},
    {"data.group", JOB_STRING, JOB_NULL, "null", AT(data.group),
     .help = "field that groups rows; a group is never divided between parts; null: each row on its own"},
    {"data.time", JOB_STRING, JOB_NULL | JOB_LATER, "null", AT(data.time), .also = "date timestamp created_at",
     .help = "field with the row's time, for split.method time: a date of ISO 8601 or a number"},
    {"data.label", JOB_LABEL, 0, "\"label\"", AT(data.label), .also = "label_columns",
     .help = "field with the label (index or name); or one 0/1 column per label: a list, or a pattern such as topic_*"},
    {"data.text_a", JOB_STRINGS, JOB_REQUIRED | JOB_FILLED, "null", AT(data.text_a), .also = "text sentence",
     .help = "fields joined into the first text"},
    {"data.text_b", JOB_STRINGS, 0, "[]", AT(data.text_b),
     .help = "fields joined into the second text of a pair; empty: single texts"},
    {"data.word_limits", JOB_LIMITS, JOB_NULL, "null", 1, 1000000000, AT(data.word_limits), .also = "max_words",
     .help = "keep only the first words of a text field: {\"text\": 300}"},
    {"data.joiner", JOB_STRING, JOB_EMPTY, "\". \"", AT(data.joiner), .also = "separator",
     .help = "separator between the fields of a text"},
    {"data.required", JOB_STRINGS, 0, "[]", AT(data.required),
     .help = "fields that must not be empty; rows without one are dropped"},
    {"data.labels", JOB_STRINGS, 0, "[]", AT(data.labels), .also = "label_names classes",
     .help = "label names in index order; empty: as found in the data"},
    {"data.positive", JOB_STRING, JOB_NULL, "null", AT(data.positive), .also = "positive_label",
     .help = "positive label, which the threshold applies to; null: the last"},
    {"data.label_separator", JOB_STRING, 0, "\";\"", AT(data.label_separator),
     .help = "separator between the labels of a CSV or TSV cell (multi-label)"},
    {"data.label_form", JOB_WORD, JOB_LATER, "\"auto\"", AT(data.label_form), WORDS("auto", "index", "name", "vector"),
     .help = "what label values are: indexes from 0, names, or lists with 0 or 1 for each label; auto: as the values show"},
    {"data.quotes", JOB_WORD, JOB_LATER, "\"auto\"", AT(data.quotes), WORDS("auto", "none"),
     .help =
         "double quotes in CSV and TSV; auto: they enclose cells, unless a TSV shows that they do not; none: plain characters"},
    {"data.encoding", JOB_STRING, JOB_NULL | JOB_LATER, "null", AT(data.encoding), .also = "charset",
     .help = "text encoding of the data files, as iconv names it (cp1252, latin1, utf-16); null: UTF-8"},
    {"data.min_label_count", JOB_COUNT, 0, "0", 0, 1000000000, AT(data.min_label_count),
     .help = "drop labels with fewer rows, then rows that have no label left"},
    {"data.min_words", JOB_COUNT, 0, "0", 0, 1000000, AT(data.min_words), .help = "drop rows with fewer words"},
    {"data.repeats", JOB_WORD, JOB_LATER, "\"keep\"", AT(data.repeats), WORDS("keep", "drop", "group"),
     .help = "rows that repeat another's text, exactly or nearly: keep; drop: the first stays; group: they stay in one part"},
    {"data.accept", JOB_STRINGS, JOB_FREE, "[]", AT(data.accept), WORDS("leaks", "conflicting_duplicates", "shared_groups"),
     .help = "data problems to accept instead of failing"},

    {"split.train", JOB_NUMBER, JOB_ABOVE | JOB_BELOW, "0.7", 0, 1, AT(split.train),
     .help = "fraction of the groups for training"},
    {"split.validation", JOB_NUMBER, JOB_ABOVE | JOB_BELOW, "0.15", 0, 1, AT(split.validation), .also = "val valid",
     .help = "fraction of the groups for validation; the rest is for testing"},
    {"split.method", JOB_WORD, 0, "\"muster\"", AT(split.method), WORDS("muster", "numpy", "stratified", "time"),
     .help = "numpy: by NumPy's RandomState(seed).shuffle; stratified: the same label proportions in all parts; time: by "
             "data.time, the oldest rows train, the newest test"},
    {"split.file", JOB_STRING, JOB_NULL | JOB_PATH, "null", AT(split.file),
     .help = "frozen split.json to use instead; it is used exactly, or the run fails"},
    {"split.folds", JOB_COUNT, JOB_NULL | JOB_LATER, "null", 2, 1000, .none = 0, AT(split.folds),
     .also = "n_splits cv k_folds n_folds kfold",
     .help = "cross-validation over the rows of train and validation in so many folds, grouped and stratified; null: none"},

    {"train.lr", JOB_NUMBER, JOB_ABOVE | JOB_SWEPT, "2e-05", 0, 1, AT(train.lr), .also = "learning_rate",
     .help = "peak learning rate"},
    {"train.epochs", JOB_COUNT, JOB_SWEPT, "5", 1, 10000, AT(train.epochs), .also = "num_epochs num_train_epochs",
     .help = "passes over the training data"},
    {"train.batch", JOB_COUNT, JOB_SWEPT, "8", 1, 65536, AT(train.batch), .also = "batch_size train_batch_size",
     .help = "global batch: rows per optimizer step, over all ranks of a group"},
    {"train.micro_batch", JOB_COUNT, JOB_NULL | JOB_SWEPT, "null", 1, 65536, .none = 0, AT(train.micro_batch),
     .also = "micro_batch_size", .help = "rows per forward and backward pass on a rank; null: batch / ranks_per_group"},
    {"train.max_length", JOB_COUNT, 0, "512", 8, 1048576, AT(train.max_length), .also = "max_seq_length max_len",
     .help = "maximum tokens per row"},
    {"train.truncation", JOB_TRUNCATION, 0, "\"only_second\"", AT(train.truncation), .words = truncation_names,
     .help = "which text of a long row is truncated"},
    {"train.class_weights", JOB_CLASS_WEIGHTS, JOB_SWEPT, "\"balanced\"", AT(train.class_weights), WORDS("balanced", "none"),
     .help = "loss weight per class; balanced: rows / (classes * rows of the class) in the training data; or a list"},
    {"train.pos_weight", JOB_BOUNDS, JOB_NULL | JOB_SWEPT, "null", 0, 1e9, AT(train.pos_weight_low),
     .help = "multi-label: loss weight of a label's positive rows: negatives / positives in the training data, clipped to [low, "
             "high]"},
    {"train.weight_decay", JOB_NUMBER, JOB_SWEPT, "0.01", 0, 1, AT(train.weight_decay),
     .help = "AdamW weight decay; not applied to biases and LayerNorm"},
    {"train.clip", JOB_NUMBER, JOB_NULL | JOB_SWEPT, "1", 0, 1e9, .none = 0, AT(train.clip), .also = "max_grad_norm grad_clip",
     .help = "maximum gradient norm; 0 or null: no clipping"},
    {"train.warmup", JOB_NUMBER, JOB_BELOW | JOB_SWEPT, "0", 0, 1, AT(train.warmup), .also = "warmup_ratio",
     .help = "fraction of the steps with learning rate warmup"},
    {"train.schedule", JOB_WORD, JOB_SWEPT | JOB_LATER, "\"linear\"", AT(train.schedule), .words = schedule_names,
     .also = "lr_scheduler_type lr_scheduler lr_schedule",
     .help = "learning rate after the warmup: linear or cosine, down to 0; or constant"},
    {"train.layer_decay", JOB_NUMBER, JOB_ABOVE | JOB_SWEPT | JOB_LATER, "1", 0, 1, AT(train.layer_decay),
     .also = "layerwise_lr_decay layer_wise_lr_decay llrd",
     .help = "layer-wise decay of the learning rate: lr * decay^depth, depth 0 the head, 1 the top layer; the embeddings have "
             "the lowest"},
    {"train.freeze", JOB_STRINGS, JOB_LATER, "[]", AT(train.freeze), .also = "frozen freeze_layers",
     .help = "parts that are not trained: embeddings, layers.3, layers.0-5"},
    {"train.method", JOB_WORD, JOB_SWEPT | JOB_LATER, "\"full\"", AT(train.method), WORDS("full", "lora"),
     .also = "peft tuner fine_tuning", .help = "full: all weights are trained; lora: low-rank adapters and the head"},
    {"train.lora_r", JOB_COUNT, JOB_SWEPT | JOB_LATER, "8", 1, 65536, AT(train.lora_r), .also = "r rank lora_rank",
     .help = "LoRA: rank of the adapters"},
    {"train.lora_alpha", JOB_NUMBER, JOB_ABOVE | JOB_SWEPT | JOB_LATER, "16", 0, 1000000, AT(train.lora_alpha), .also = "alpha",
     .help = "LoRA: adapters are scaled by alpha / r"},
    {"train.lora_dropout", JOB_NUMBER, JOB_BELOW | JOB_SWEPT | JOB_LATER, "0.05", 0, 1, AT(train.lora_dropout),
     .help = "LoRA: dropout on the input of adapters"},
    {"train.lora_rslora", JOB_BOOLEAN, JOB_LATER, "false", AT(train.lora_rslora), .also = "use_rslora rslora",
     .help = "LoRA: scale by alpha / sqrt(r) instead"},
    {"train.lora_bias", JOB_WORD, JOB_LATER, "\"none\"", AT(train.lora_bias), .words = lora_bias_names, .also = "bias",
     .help = "LoRA: biases that are trained, too: none; all of the model; lora_only: of the maps that get an adapter"},
    {"train.lora_targets", JOB_STRINGS, JOB_LATER, "[]", AT(train.lora_targets), .also = "target_modules targets",
     .help = "LoRA: linear maps that get an adapter, as PEFT's target_modules: [\"query\", \"value\"], or [\"attention\"] for "
             "its maps in "
             "any family; empty: all of the encoder"},
    {"train.lora_train_head", JOB_BOOLEAN, JOB_LATER, "true", AT(train.lora_train_head), .also = "train_head modules_to_save",
     .help = "LoRA: train the head (pooler and classifier) as a whole; false: it is frozen"},
    {"train.loss", JOB_WORD, JOB_SWEPT | JOB_LATER, "\"cross_entropy\"", AT(train.loss), WORDS("cross_entropy", "focal"),
     .also = "criterion loss_fn loss_function",
     .help = "multi-label: of each label; focal: rows that are already right count less"},
    {"train.focal_gamma", JOB_NUMBER, JOB_ABOVE | JOB_SWEPT | JOB_LATER, "2", 0, 100, AT(train.focal_gamma), .also = "gamma",
     .help = "gamma of the focal loss; a term of the loss is multiplied by (1 - p)^gamma"},
    {"train.label_smoothing", JOB_NUMBER, JOB_BELOW | JOB_SWEPT | JOB_LATER, "0", 0, 1, AT(train.label_smoothing),
     .also = "label_smoothing_factor",
     .help =
         "label smoothing e; the true class has 1 - e + e / classes, the others e / classes; multi-label: 1 - e / 2 and e / 2"},
    {"train.dropout", JOB_NUMBER, JOB_NULL | JOB_BELOW | JOB_SWEPT, "null", 0, 1, .none = -1, AT(train.dropout),
     .help = "dropout probability; null: as in the model's config.json"},
    {"train.checkpointing", JOB_BOOLEAN, JOB_FREE | JOB_LATER, "false", AT(train.checkpointing),
     .also = "gradient_checkpointing activation_checkpointing recompute",
     .help = "gradient checkpointing: less memory, more time; activations are computed again in the backward pass; the "
             "weights are the same"},
    {"train.precision", JOB_WORD, JOB_SWEPT, "\"f32\"", AT(train.precision), .words = precision_names, .also = "dtype",
     .help = "data type of the matrix multiplications' inputs; tf32, f32 rounded to 10 bits, is for GPUs alone"},
    {"train.select", JOB_WORD, JOB_SWEPT, "\"loss\"", AT(train.select),
     WORDS("loss", "f1", "micro_f1", "macro_f1", "best_f1", "average_precision"), .also = "metric_for_best_model",
     .help = "validation metric that selects the best epoch (f1, micro_f1, macro_f1 at threshold 0.5; best_f1 at the best "
             "threshold for "
             "all labels; average_precision of all labels together)"},
    {"train.head", JOB_WORD, JOB_LATER, "\"auto\"", AT(train.head), WORDS("auto", "keep", "new"),
     .help =
         "the model's classifier head; auto: kept, by label names, where it has the job's labels, else new; keep: kept, or the "
         "run fails; new: always new"},
    {"train.head_bias", JOB_WORD, JOB_SWEPT | JOB_LATER, "\"zero\"", AT(train.head_bias), WORDS("zero", "shares"),
     .help = "where the biases of a new classifier begin; zero, as in transformers; shares: where, without any text, the loss is "
             "least: log odds of the labels' shares in the training data"},
    {"train.patience", JOB_COUNT, JOB_NULL | JOB_SWEPT, "null", 1, 10000, .none = 0, AT(train.patience),
     .also = "early_stopping_patience", .help = "early stopping: epochs without improvement before stopping; null: never"},
    {"train.checkpoint_every", JOB_INTERVAL, JOB_FREE, "\"epoch\"", AT(train.checkpoint_every),
     .also = "save_steps save_strategy checkpoint_steps",
     .help = "checkpoint interval: epoch; or also within an epoch, such as \"500 steps\" or \"10 minutes\""},

    {"train.seeds", JOB_SEEDS, JOB_NULL | JOB_FREE | JOB_LATER, "null", 0, LARGEST_EXACT, AT(train.seeds), .also = "seed_list",
     .help = "train each configuration with each of these seeds, such as [1, 2, 3]: it is chosen by its mean over them, and its "
             "best seed is published; the split keeps the seed of \"seed\""},

    {"sweep", JOB_SWEEP, JOB_NULL | JOB_FREE, "null", AT(sweep), .also = "grid search",
     .help = "train keys (or seed) with lists of values: each combination is a trial; with sweep.sample random also ranges, "
             "{\"from\": 1e-6, \"to\": 1e-4, \"log\": true}"},
    {"sweep.sample", JOB_WORD, JOB_FREE, "\"grid\"", AT(search.sample), WORDS("grid", "random"),
     .help = "grid: all combinations; random: sweep.count trials drawn at random (reproducible by the seed)"},
    {"sweep.count", JOB_COUNT, JOB_NULL | JOB_FREE, "null", 1, 10000, .none = 0, AT(search.count),
     .also = "num_samples n_trials n_iter max_trials", .help = "number of random trials"},
    {"sweep.scheduler", JOB_SCHEDULER, JOB_FREE, "\"none\"", AT(search.scheduler), .words = scheduler_names, .also = "pruner",
     .help = "prunes trials that do worse than others by train.select on validation; the baseline is never pruned"},
    {"sweep.grace_epochs", JOB_COUNT, JOB_FREE, "1", 1, 10000, AT(search.grace_epochs),
     .also = "grace_period min_resource n_warmup_steps grace", .help = "epochs before a trial may be pruned"},
    {"sweep.reduction", JOB_COUNT, JOB_FREE, "4", 2, 1000, AT(search.reduction), .also = "reduction_factor eta",
     .help = "asha: the best 1 / reduction of the trials continue after epoch grace_epochs * reduction^k"},
    {"sweep.startup_trials", JOB_COUNT, JOB_FREE, "5", 1, 10000, AT(search.startup_trials),
     .also = "n_startup_trials min_samples_required", .help = "median: completed trials needed before pruning starts"},
    {"sweep.model", JOB_STRINGS, JOB_FREE, "[]", AT(search.models), .also = "models model_name model_path",
     .help = "models, in place of model: a run for each in <out>/models, all on one frozen split; the best on validation is "
             "published"},
    {"sweep.fields", JOB_LISTS, JOB_FREE, "[]", AT(search.fields), .also = "text_fields columns",
     .help =
         "lists of fields out of data.text_a and data.text_b, such as [[\"title\"], [\"title\", \"text\"]]: a run for each, with "
         "these alone"},

    {"tune.rule", JOB_RULE, JOB_FREE, "\"f1\"", AT(tune.grid.rule), .words = threshold_rule_names,
     .help = "metric that the threshold maximizes on validation"},
    {"tune.from", JOB_NUMBER, JOB_NULL | JOB_FREE, "null", 0, 1, .none = -1, AT(tune.grid.from),
     .help = "lowest threshold; null: 0.1, multi-label 0.05"},
    {"tune.to", JOB_NUMBER, JOB_NULL | JOB_FREE, "null", 0, 1, .none = -1, AT(tune.grid.to),
     .help = "highest threshold; null: 0.9, multi-label 0.95"},
    {"tune.points", JOB_POINTS, JOB_NULL | JOB_FREE, "null", 2, 100001, .none = 0, AT(tune.grid.points),
     .help = "number of thresholds, evenly spaced, ends included; null: 33, multi-label 91"},
    {"tune.kind", JOB_WORD, JOB_FREE, "\"grid\"", AT(tune.kind), WORDS("grid", "exact"),
     .help = "exact: also try every probability that occurs"},
    {"tune.ties", JOB_WORD, JOB_FREE, "\"first\"", AT(tune.ties), WORDS("first", "middle"), .also = "tie_break",
     .help =
         "which of neighbouring thresholds with the same score is taken; exact, middle: half-way to the next lower probability"},
    {"tune.per_class", JOB_WORD, JOB_FREE, "\"auto\"", AT(tune.per_class_word), WORDS("auto", "true", "false"),
     .help = "multi-label: a threshold per label; true: for all; false: one for all; auto: for labels with at least "
             "tune.min_positives "
             "validation rows where cross-validation shows a higher F1 (micro, or macro with train.select macro_f1)"},
    {"tune.calibrate", JOB_WORD, JOB_FREE, "\"none\"", AT(tune.calibrate), WORDS("none", "temperature", "vector"),
     .help = "temperature scaling that minimizes the validation NLL (1 where validation has no error or the fit runs to a "
             "bound), before thresholds are chosen: one temperature, or (vector) "
             "one per label"},
    {"tune.min_positives", JOB_COUNT, JOB_FREE, "10", 0, 1000000000, AT(tune.min_positives),
     .help = "labels with fewer positive validation rows share one threshold"},
    {"tune.beta", JOB_NUMBER, JOB_ABOVE | JOB_FREE, "1", 0, 100, AT(tune.grid.beta),
     .help = "beta of the f_beta rule; above 1 favors recall"},
    {"tune.min_precision", JOB_NUMBER, JOB_FREE, "0.5", 0, 1, AT(tune.grid.min_precision),
     .help = "minimum precision of the recall_at_precision rule"},
    {"tune.min_recall", JOB_NUMBER, JOB_FREE, "0.5", 0, 1, AT(tune.grid.min_recall),
     .help = "minimum recall of the precision_at_recall rule"},
    {"tune.false_positive_cost", JOB_NUMBER, JOB_FREE, "1", 0, 1e9, AT(tune.grid.false_positive_cost),
     .help = "cost rule: cost of a false positive"},
    {"tune.false_negative_cost", JOB_NUMBER, JOB_FREE, "1", 0, 1e9, AT(tune.grid.false_negative_cost),
     .help = "cost rule: cost of a false negative"},
    {"tune.per", JOB_WORD, JOB_FREE, "\"trial\"", AT(tune.per), WORDS("trial", "baseline"),
     .help = "trial: tune a threshold for each trial; baseline: use the baseline's for all"},

    {"publish.adapter", JOB_WORD, JOB_FREE | JOB_LATER, "\"merged\"", AT(publish.adapter), WORDS("merged", "both", "separate"),
     .also = "merge_adapter",
     .help = "LoRA: merged: the bundle's weights have the adapter merged into them; both: bundle/adapter also has it, for PEFT; "
             "separate: the adapter alone, with the base's name and sha256"},

    {"publish.of", JOB_WORD, JOB_FREE | JOB_LATER, "\"whole\"", AT(publish.of), WORDS("whole", "best"), .also = "refit",
     .help = "with split.folds: whole: the chosen configuration is trained again on all rows of train and validation, for the "
             "chosen number of epochs; best: the model of the best fold"},

    {"report.baseline", JOB_BOOLEAN, JOB_FREE, "true", AT(report.baseline), .also = "tfidf",
     .help = "also train and score a linear TF-IDF model, for comparison"},
    {"report.agreement", JOB_NUMBER, JOB_FREE, "0.63", 0, 1, AT(report.agreement), .also = "automatable min_f1",
     .help = "F1 from which a label counts as automatable, such as the agreement between human annotators"},

    {"cluster.launcher", JOB_WORD, JOB_FREE, "\"local\"", AT(cluster.launcher), .words = launcher_names,
     .help = "where workers run: local: this machine; mpirun: hosts of cluster.hostfile; srun: the SLURM allocation; none: "
             "started by someone else"},
    {"cluster.groups", JOB_COUNT, JOB_FREE, "1", 1, 1024, AT(cluster.groups),
     .help = "number of worker groups: trials that train at the same time"},
    {"cluster.ranks_per_group", JOB_COUNT, JOB_FREE, "1", 1, 1024, AT(cluster.ranks_per_group), .also = "ranks",
     .help = "MPI ranks per group; a power of two"},
    {"cluster.threads", JOB_COUNT, JOB_FREE, "0", 0, 1024, AT(cluster.threads), .help = "threads per rank; 0: cores / ranks"},
    {"cluster.device", JOB_WORD, JOB_FREE, "\"auto\"", AT(cluster.device), .words = device_names,
     .help = "compute device; auto: cuda where a GPU is visible, else cpu; cuda: a GPU for each rank; fake: simulated losses, to "
             "test a "
             "sweep in seconds"},
    {"cluster.reduction", JOB_WORD, JOB_FREE, "\"ordered\"", AT(cluster.reduction), WORDS("ordered", "fast"),
     .help = "sums of gradients between GPUs: ordered: the same bits on 1, 2, 4, 8 ranks, and as on the CPU's; fast: NCCL's own "
             "all-reduce, other bits on other ranks and hosts. CPU ranks always sum in order"},
    {"cluster.hostfile", JOB_STRING, JOB_NULL | JOB_FREE | JOB_PATH, "null", AT(cluster.hostfile),
     .help = "Open MPI host file (name slots=N) for launcher mpirun; null: the SLURM allocation"},
    {"cluster.interface", JOB_STRING, JOB_NULL | JOB_FREE, "null", AT(cluster.interface),
     .help = "network interface, address or network on which the coordinator listens for workers on other hosts; null: chosen "
             "automatically"},
    {"cluster.heartbeat_timeout", JOB_NUMBER, JOB_FREE, "30", 1, 86400, AT(cluster.heartbeat_timeout),
     .help = "seconds without a heartbeat after which a group is considered dead"},
    {"cluster.metrics_port", JOB_COUNT, JOB_NULL | JOB_FREE, "null", 0, 65535, .none = NO_METRICS_PORT, AT(cluster.metrics_port),
     .help = "Prometheus metrics at http://127.0.0.1:PORT/metrics; 0: any free port (see muster status); null: off"},
    {"cluster.restarts", JOB_COUNT, JOB_FREE, "3", 0, 1000, AT(cluster.restarts),
     .help = "restarts of a trial after its group died, before the trial fails"},
};
#define FIELDS (sizeof job_fields / sizeof job_fields[0])
const size_t job_field_count = FIELDS;

const struct job_field *job_field_find(const char *key)
{
    for (size_t i = 0; i < job_field_count; i++)
        if (strcmp(job_fields[i].key, key) == 0)
            return &job_fields[i];
    return NULL;
}

static const char *last_part(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot ? dot + 1 : key;
}

static bool has_word(const char *list, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = list; at && size > 0 && (at = strstr(at, word)); at += size)
        if ((at == list || at[-1] == ' ') && (at[size] == ' ' || at[size] == 0))
            return true;
    return false;
}

/* A known key that `key` may stand for: mistyped, in another section, or by the name it has elsewhere. */
static const char *nearest_key(const char *key)
{
    const char *words[FIELDS], *parts[FIELDS];
    for (size_t i = 0; i < job_field_count; i++) {
        words[i] = job_fields[i].key;
        if (strcmp(last_part(key), last_part(words[i])) == 0 || has_word(job_fields[i].also, last_part(key)))
            return words[i];
    }
    const char *near = near_word(key, words, FIELDS);
    if (near)
        return near;
    for (size_t i = 0; i < FIELDS; i++)
        parts[i] = last_part(words[i]);
    const char *part = near_word(last_part(key), parts, FIELDS);
    for (size_t i = 0; part && i < FIELDS; i++)
        if (parts[i] == part)
            return words[i];
    return NULL;
}

static int unknown_key(const char *key, const char *near, struct error *e)
{
    if (near)
        return error_set(e, ERROR_USAGE, "unknown key \"%s\"; did you mean \"%s\"?", key, near);
    return error_set(e, ERROR_USAGE, "unknown key \"%s\"; `muster run --help` lists the keys of a job", key);
}

int job_unknown_key(const char *key, struct error *e)
{
    return unknown_key(key, nearest_key(key), e);
}

int job_unknown_swept_key(const char *key, struct error *e)
{
    char *full = format_string("train.%s", key);
    unknown_key(full, nearest_key(key), e);
    free(full);
    return -1;
}

/* Short text of a value for a message. Caller frees. */
static char *shown(const struct json *value)
{
    char *text = json_print(value, false);
    if (strlen(text) > 60)
        strcpy(text + 57, "...");
    char *with_type =
        json_type(value) == JSON_NULL ? duplicate("null") : format_string("%s (%s)", text, json_type_name(json_type(value)));
    free(text);
    return with_type;
}

static int expected(const struct job_field *f, const char *what, const struct json *value, struct error *e)
{
    char *found = shown(value);
    error_set(e, ERROR_USAGE, "%s: expected %s%s, found %s", f->key, what, f->flags & JOB_NULL ? " or null" : "", found);
    free(found);
    return -1;
}

static int unknown_word(const struct job_field *f, const struct json *value, struct error *e)
{
    struct buffer list = {0};
    for (size_t i = 0; f->words[i]; i++)
        buffer_printf(&list, "%s\"%s\"", i == 0 ? "" : f->words[i + 1] ? ", " : " or ", f->words[i]);
    if (f->type == JOB_CLASS_WEIGHTS)
        buffer_text(&list, " or a list of numbers");
    expected(f, list.data, value, e);
    size_t count = 0;
    while (f->words[count])
        count++;
    const char *near = json_string(value) ? near_word(json_string(value), f->words, count) : NULL;
    if (near)
        snprintf(e->message + strlen(e->message), sizeof e->message - strlen(e->message), "; did you mean \"%s\"?", near);
    buffer_free(&list);
    return -1;
}

/* true and false are words too. */
static int word_index(const struct job_field *f, const struct json *value, struct error *e)
{
    bool boolean = json_type(value) == JSON_BOOLEAN;
    const char *word = boolean ? (json_boolean(value) ? "true" : "false") : json_string(value);
    for (int i = 0; word && f->words[i]; i++)
        if (strcmp(f->words[i], word) == 0)
            return i;
    return unknown_word(f, value, e);
}

static int out_of_bounds(const struct job_field *f, const char *kind, const struct json *value, struct error *e)
{
    char what[160];
    snprintf(what, sizeof what, "%s %s %.16g %s %.16g", kind, f->flags & JOB_ABOVE ? "above" : "from", f->low,
             f->flags & JOB_BELOW ? "and below" : "to", f->high);
    return expected(f, what, value, e);
}

static int read_number(double *ret, const struct job_field *f, const struct json *value, struct error *e)
{
    bool whole = f->type != JOB_NUMBER;
    const char *kind = whole ? "a whole number" : "a number";
    double x = json_number(value);
    if (json_type(value) != JSON_NUMBER)
        return expected(f, kind, value, e);
    if (x < f->low || x > f->high || (f->flags & JOB_ABOVE && x <= f->low) || (f->flags & JOB_BELOW && x >= f->high) ||
        (whole && floor(x) != x))
        return out_of_bounds(f, kind, value, e);
    *ret = x;
    return 0;
}

static int read_texts(struct text_fields *ret, const struct job_field *f, const struct json *value, struct error *e)
{
    size_t count = json_size(value);
    if (json_type(value) != JSON_ARRAY || (f->flags & JOB_FILLED && count == 0))
        return expected(f, "a list of strings such as [\"title\", \"text\"]", value, e);
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string(json_at(value, i));
        if (!text || !*text)
            return expected(f, "a list of non-empty strings", value, e);
        for (size_t k = 0; k < i; k++)
            if (strcmp(text, json_string(json_at(value, k))) == 0)
                return error_set(e, ERROR_USAGE, "%s: \"%s\" is in the list twice", f->key, text);
        if (f->words && word_index(f, json_at(value, i), e) < 0)
            return -1;
    }
    struct text_fields list = {.names = allocate(count, sizeof(char *)), .count = count};
    for (size_t i = 0; i < count; i++)
        list.names[i] = duplicate(json_string(json_at(value, i)));
    *ret = list;
    return 0;
}

/* A list, or a text with "*": columns. */
static int read_label(const struct job_field *f, struct job *j, const struct json *value, struct error *e)
{
    const char *text = json_string(value);
    if (json_type(value) == JSON_ARRAY) {
        struct job_field list = *f;
        list.flags |= JOB_FILLED;
        return read_texts(&j->data.label_columns, &list, value, e);
    }
    if (!text || !*text)
        return expected(f, "a field name, or a list of 0/1 columns", value, e);
    if (strchr(text, '*')) {
        j->data.label_columns = (struct text_fields){.names = allocate(1, sizeof(char *)), .count = 1};
        j->data.label_columns.names[0] = duplicate(text);
    } else {
        j->data.label = duplicate(text);
    }
    return 0;
}

static int read_seeds(struct seed_list *ret, const struct job_field *f, const struct json *value, struct error *e)
{
    size_t count = json_size(value);
    if (json_type(value) != JSON_ARRAY || count == 0)
        return expected(f, "a list of seeds such as [1, 2, 3]", value, e);
    for (size_t i = 0; i < count; i++) {
        double x = json_number(json_at(value, i));
        if (json_type(json_at(value, i)) != JSON_NUMBER || floor(x) != x || x < f->low || x > f->high)
            return expected(f, "whole numbers from 0 to 9007199254740991 in the list", json_at(value, i), e);
        for (size_t k = 0; k < i; k++)
            if (x == json_number(json_at(value, k)))
                return error_set(e, ERROR_USAGE, "%s: the seed %.0f is in the list twice", f->key, x);
    }
    *ret = (struct seed_list){.values = allocate(count, sizeof *ret->values), .count = count};
    for (size_t i = 0; i < count; i++)
        ret->values[i] = (uint64_t)json_number(json_at(value, i));
    return 0;
}

static struct json *seeds_value(const struct seed_list *seeds)
{
    if (seeds->count == 0)
        return json_null();
    struct json *list = json_array();
    for (size_t i = 0; i < seeds->count; i++)
        json_append(list, json_of_number((double)seeds->values[i]));
    return list;
}

static struct json *texts_value(const struct text_fields *texts)
{
    struct json *list = json_array();
    for (size_t i = 0; i < texts->count; i++)
        json_append(list, json_of_string(texts->names[i]));
    return list;
}

static void texts_free(struct text_fields *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        free(texts->names[i]);
    free(texts->names);
}

static int read_class_weights(const struct job_field *f, struct job *j, const struct json *value, struct error *e)
{
    if (json_type(value) != JSON_ARRAY) {
        int i = word_index(f, value, e);
        if (i < 0)
            return -1;
        j->train.class_weights = f->words[i];
        j->train.class_weight_list = NULL;
        j->train.class_weight_count = 0;
        return 0;
    }
    size_t count = json_size(value);
    for (size_t i = 0; i < count; i++) {
        double x = json_number(json_at(value, i));
        if (json_type(json_at(value, i)) != JSON_NUMBER || x <= 0 || x > 1e9)
            return expected(f, "a list of numbers above 0", value, e);
    }
    if (count == 0)
        return expected(f, "a list with a number per label", value, e);
    j->train.class_weights = NULL;
    j->train.class_weight_list = allocate(count, sizeof(double));
    j->train.class_weight_count = count;
    for (size_t i = 0; i < count; i++)
        j->train.class_weight_list[i] = json_number(json_at(value, i));
    return 0;
}

static int read_bounds(double ret[2], const struct job_field *f, const struct json *value, struct error *e)
{
    const struct json *low = json_at(value, 0), *high = json_at(value, 1);
    if (json_type(value) != JSON_ARRAY || json_size(value) != 2 || json_type(low) != JSON_NUMBER ||
        json_type(high) != JSON_NUMBER || !(json_number(low) > 0) || json_number(high) < json_number(low) ||
        json_number(high) > f->high)
        return expected(f, "[low, high] such as [1, 50], with 0 < low <= high", value, e);
    ret[0] = json_number(low);
    ret[1] = json_number(high);
    return 0;
}

static struct json *bounds_value(const double bounds[2])
{
    if (!(bounds[0] > 0))
        return json_null();
    struct json *list = json_array();
    json_append(list, json_of_number(bounds[0]));
    json_append(list, json_of_number(bounds[1]));
    return list;
}

/* "500 steps": a decimal number, then one of the units, and nothing else. */
static bool is_amount(double *ret, const char *text, const char *const units[2])
{
    char *end;
    *ret = strtod(text, &end);
    if (end == text || strspn(text, "0123456789.e+-") < (size_t)(end - text)) /* strtod also takes hex, inf, leading space */
        return false;
    const char *unit = end + strspn(end, " ");
    return (!strcmp(unit, units[0]) || !strcmp(unit, units[1])) && *ret > 0 && *ret <= 1e6;
}

static int read_interval(const struct job_field *f, struct job *j, const struct json *value, struct error *e)
{
    static const char *const step_units[2] = {"steps", "step"}, *const minute_units[2] = {"minutes", "minute"};
    const char *text = json_string(value);
    double steps = 0, minutes = 0;
    bool by_steps = text && is_amount(&steps, text, step_units) && floor(steps) == steps,
         by_minutes = text && is_amount(&minutes, text, minute_units);
    if (!text || !(strcmp(text, "epoch") == 0 || by_steps || by_minutes))
        return expected(f, "\"epoch\", \"N steps\" or \"N minutes\", such as \"500 steps\"", value, e);
    j->train.checkpoint_every = duplicate(text);
    j->train.checkpoint_steps = by_steps ? (uint32_t)steps : 0;
    j->train.checkpoint_minutes = by_minutes ? minutes : 0;
    return 0;
}

static int read_sweep(struct json **ret, const struct job_field *f, const struct json *value, struct error *e)
{
    if (json_type(value) != JSON_OBJECT)
        return expected(f, "an object such as {\"lr\": [1e-5, 2e-5]}", value, e);
    *ret = json_size(value) > 0 ? json_copy(value) : NULL;
    return 0;
}

bool text_fields_have(const struct text_fields *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->names[i], name) == 0)
            return true;
    return false;
}

static int read_lists(struct json **ret, const struct job_field *f, const struct json *value, struct error *e)
{
    struct job_field list = *f;
    list.flags |= JOB_FILLED;
    if (json_type(value) != JSON_ARRAY)
        return expected(f, "a list of lists such as [[\"title\"], [\"title\", \"text\"]]", value, e);
    for (size_t i = 0; i < json_size(value); i++) {
        struct text_fields scratch = {0};
        if (read_texts(&scratch, &list, json_at(value, i), e) != 0)
            return -1;
        texts_free(&scratch);
    }
    *ret = json_size(value) > 0 ? json_copy(value) : NULL;
    return 0;
}

static int read_limits(struct json **ret, const struct job_field *f, const struct json *value, struct error *e)
{
    bool right = json_type(value) == JSON_OBJECT;
    for (size_t i = 0; right && i < json_size(value); i++) {
        double x = json_number(json_at(value, i));
        right = x >= f->low && x <= f->high && floor(x) == x;
    }
    if (!right)
        return expected(f, "an object of fields and whole numbers such as {\"text\": 300}", value, e);
    *ret = json_size(value) > 0 ? json_copy(value) : NULL;
    return 0;
}

static void *place(const struct job_field *f, struct job *j)
{
    return (char *)j + f->offset;
}

static int store_number(const struct job_field *f, struct job *j, double x)
{
    void *to = place(f, j);
    switch (f->type) {
    case JOB_NUMBER:
        *(double *)to = x;
        return 0;
    case JOB_COUNT:
        *(uint32_t *)to = (uint32_t)x;
        return 0;
    case JOB_POINTS:
        *(int *)to = (int)x;
        return 0;
    default:
        *(uint64_t *)to = (uint64_t)x;
        return 0;
    }
}

static int store_null(const struct job_field *f, struct job *j, struct error *e)
{
    if (f->flags & JOB_REQUIRED)
        return error_set(e, ERROR_USAGE, "\"%s\" is missing: %s", f->key, f->help);
    if (f->type == JOB_NUMBER || f->type == JOB_COUNT || f->type == JOB_POINTS)
        return store_number(f, j, f->none);
    if (f->type == JOB_BOUNDS)
        memset(place(f, j), 0, 2 * sizeof(double));
    return 0; /* texts and sweep: NULL already */
}

bool job_field_takes_null(const struct job_field *f)
{
    return f->flags & (JOB_NULL | JOB_REQUIRED) || strcmp(f->fallback, "null") == 0;
}

static int store_string(char **to, const struct job_field *f, const struct json *value, struct error *e)
{
    const char *string = json_string(value);
    if (!string || (!*string && !(f->flags & JOB_EMPTY)))
        return expected(f, "a non-empty string", value, e);
    *to = duplicate(string);
    return 0;
}

static int store_word(void *to, const struct job_field *f, const struct json *value, struct error *e)
{
    int index = word_index(f, value, e);
    if (index < 0)
        return -1;
    if (f->type == JOB_WORD)
        *(const char **)to = f->words[index];
    else if (f->type == JOB_RULE)
        *(enum threshold_rule *)to = (enum threshold_rule)index;
    else if (f->type == JOB_SCHEDULER)
        *(enum scheduler_kind *)to = (enum scheduler_kind)index;
    else
        *(enum truncation *)to = (enum truncation)index;
    return 0;
}

int job_field_store(const struct job_field *f, struct job *j, const struct json *value, struct error *e)
{
    void *to = place(f, j);
    double number = 0;
    if (json_type(value) == JSON_NULL && job_field_takes_null(f))
        return store_null(f, j, e);
    switch (f->type) {
    case JOB_STRING:
        return store_string(to, f, value, e);
    case JOB_WORD:
    case JOB_TRUNCATION:
    case JOB_RULE:
    case JOB_SCHEDULER:
        return store_word(to, f, value, e);
    case JOB_SEEDS:
        return read_seeds(to, f, value, e);
    case JOB_STRINGS:
        return read_texts(to, f, value, e);
    case JOB_LABEL:
        return read_label(f, j, value, e);
    case JOB_CLASS_WEIGHTS:
        return read_class_weights(f, j, value, e);
    case JOB_INTERVAL:
        return read_interval(f, j, value, e);
    case JOB_BOUNDS:
        return read_bounds(to, f, value, e);
    case JOB_LIMITS:
        return read_limits(to, f, value, e);
    case JOB_LISTS:
        return read_lists(to, f, value, e);
    case JOB_SWEEP:
        return read_sweep(to, f, value, e);
    case JOB_BOOLEAN:
        if (json_type(value) != JSON_BOOLEAN)
            return expected(f, "true or false", value, e);
        *(bool *)to = json_boolean(value);
        return 0;
    default:
        return read_number(&number, f, value, e) == 0 ? store_number(f, j, number) : -1;
    }
}

static struct json *number_or_null(const struct job_field *f, double x)
{
    return f->flags & JOB_NULL && x == f->none ? json_null() : json_of_number(x);
}

static struct json *class_weights_value(const struct job *j)
{
    if (j->train.class_weights)
        return json_of_string(j->train.class_weights);
    struct json *list = json_array();
    for (size_t i = 0; i < j->train.class_weight_count; i++)
        json_append(list, json_of_number(j->train.class_weight_list[i]));
    return list;
}

struct json *job_field_value(const struct job_field *f, const struct job *j)
{
    const void *from = (const char *)j + f->offset;
    switch (f->type) {
    case JOB_STRING:
    case JOB_INTERVAL:
        return json_of_string(*(char *const *)from);
    case JOB_WORD:
        return json_of_string(*(const char *const *)from);
    case JOB_TRUNCATION:
        return json_of_string(f->words[*(const enum truncation *)from]);
    case JOB_RULE:
        return json_of_string(f->words[*(const enum threshold_rule *)from]);
    case JOB_SCHEDULER:
        return json_of_string(f->words[*(const enum scheduler_kind *)from]);
    case JOB_NUMBER:
        return number_or_null(f, *(const double *)from);
    case JOB_COUNT:
        return number_or_null(f, *(const uint32_t *)from);
    case JOB_POINTS:
        return json_of_number(*(const int *)from);
    case JOB_SEED:
        return json_of_number((double)*(const uint64_t *)from);
    case JOB_SEEDS:
        return seeds_value(from);
    case JOB_STRINGS:
        return texts_value(from);
    case JOB_LABEL:
        return j->data.label ? json_of_string(j->data.label) : texts_value(&j->data.label_columns);
    case JOB_BOOLEAN:
        return json_of_boolean(*(const bool *)from);
    case JOB_CLASS_WEIGHTS:
        return class_weights_value(j);
    case JOB_BOUNDS:
        return bounds_value(from);
    case JOB_LISTS:
        return *(struct json *const *)from ? json_copy(*(struct json *const *)from) : json_array();
    case JOB_LIMITS:
    case JOB_SWEEP:
        return *(struct json *const *)from ? json_copy(*(struct json *const *)from) : json_null();
    default:
        return json_null();
    }
}

bool job_field_is_implied(const struct job_field *f, const struct json *value)
{
    char *text = f->flags & JOB_LATER ? json_print(value, false) : NULL;
    bool implied = text && strcmp(text, f->fallback) == 0;
    free(text);
    return implied;
}

void job_field_free(const struct job_field *f, struct job *j)
{
    void *at = place(f, j);
    if (f->type == JOB_STRING || f->type == JOB_INTERVAL) {
        free(*(char **)at);
    } else if (f->type == JOB_SEEDS) {
        free(((struct seed_list *)at)->values);
    } else if (f->type == JOB_STRINGS) {
        texts_free(at);
    } else if (f->type == JOB_LABEL) {
        free(j->data.label);
        texts_free(&j->data.label_columns);
    } else if (f->type == JOB_CLASS_WEIGHTS) {
        free(j->train.class_weight_list);
    } else if (f->type == JOB_SWEEP || f->type == JOB_LIMITS || f->type == JOB_LISTS) {
        json_destroy(at);
    }
}

void job_print_help(void)
{
    printf("Job file keys and their defaults (override on the command line with key=value):\n");
    for (size_t i = 0; i < job_field_count; i++) {
        const struct job_field *f = &job_fields[i];
        const char *fallback = f->flags & JOB_REQUIRED ? "required" : strcmp(f->fallback, "null") == 0 ? "" : f->fallback;
        printf("  %-26s %-14s %s", f->key, strlen(fallback) > 14 ? "" : fallback, f->help);
        for (size_t k = 0; f->words && f->words[k]; k++)
            printf("%s%s", k == 0 ? " (" : ", ", f->words[k]);
        printf("%s\n", f->words ? ")" : "");
    }
}
