"""What docs/shuffle.md says besides figures."""

CONTENTS = (
    "An epoch's order is made of blocks (`data.shuffle.block_items` neighbours of the catalogue) and "
    "windows (`data.shuffle.window_blocks` blocks, in random order, whose items are mixed). Larger "
    "blocks make reads longer and mixing worse; larger windows make mixing better, as long as there "
    "is room for them: a block is one read only where all of it can be held until its last item is "
    "taken. So a window should fit into the budgets of all actors together:",
    "",
    "    block_items * window_blocks * bytes of an item  <=  ranks * actors * data.read_ahead_bytes",
    "",
    "Beyond that a larger block makes reads shorter, not longer, and mixes worse as well. In short "
    "(corpus of 400 classes in a row, two actors of 128 MiB; mates are other items of its own block "
    "that an item meets in a batch of 256; class pairs are a ratio to a full shuffle; accuracy is in "
    "points against a full shuffle, of a linear classifier after one epoch):",
)

WHEN_TO_CHANGE = (
    "## When to change the defaults",
    "",
    "Items under 100 kB (sound, small packed clips): set `data.shuffle.block_items=16`. A window of "
    "256 blocks still fits, and a far store gives more items a second.",
    "",
    "Items over 1 MB: leave the defaults. Such reads are long by themselves, and blocks of them gain "
    "nothing. On a store that charges for requests, raise `data.read_ahead_bytes` instead of making "
    "windows smaller.",
    "",
    "Many ranks or large batches of a contrastive objective: raise `data.shuffle.window_blocks` in "
    "proportion, as far as the rule above allows. An item meets about "
    "(global batch / window_blocks) * (1 - 1 / block_items) others of its block in its batch; where "
    "neighbours are cut from one video these are no honest negatives. And since a rank reads a "
    "contiguous part of a step, batch statistics and negatives that are not shared between ranks "
    "come from a window of window_blocks / ranks blocks.",
    "",
    "Shards that were shuffled before they were written: neighbours then have nothing in common, so "
    "block_items=32 and window_blocks=32 mix classes as well as a full shuffle does.",
    "",
    "Catalogues of files (no shards): nothing to change. Each file is a read of its own whatever the "
    "block, so block_items=1 costs nothing and mixes best.",
)

HOW_IT_IS_MEASURED = (
    "## How it is measured",
    "",
    "Quality: batches of the real plan, up to 128 pairs of consecutive steps, over as many epochs as "
    "that takes. Ratios are to the expectation under a uniform draw without replacement. For C "
    "classes in a row, much longer than a block, theory has class pairs at about "
    "1 + (C - 1) / window_blocks * (1 - 1 / block_items), whatever the batch and the corpus. "
    "Correlation is Spearman's, between the mean storage positions of a batch and the next; with 128 "
    "pairs its own standard error is 0.09, with 32 it is 0.18.",
    "",
    "Accuracy: softmax regression by plain SGD at a constant rate of 0.2, with which the full shuffle "
    "is within 0.2 points of the best of six rates from 0.05 to 2; 20,000 points round 101 centres, "
    "class by class, batches of 64, one epoch. It is hurt by large blocks more than by small windows: "
    "a window shuffles the batches inside it, but over the many batches that SGD remembers, what "
    "counts is how many independent blocks they were made of. A corpus of one window is shuffled as a "
    "whole, hence the good figures of the largest.",
    "",
    "Reads: the real `Fetcher`, plan and span reader over an fsspec store that gives zeros and notes "
    "each range; tar members 1 kB apart, 2,000 to a shard; a first window warms up and is not counted. "
    "By count: a rank's part of a step is cut into equal parts. By block, as the stream does: each "
    "part has a fixed range of its rank's blocks of a window, but for a quarter of itself at each end "
    "that may go to its neighbour, so that the parts of a step stay about equal. What is cut by count "
    "is cut elsewhere in each step, so that blocks near the cuts are read by two actors, and what one "
    "leaves fills its budget. Where fewer parts than actors are worth while, they go round the actors "
    "in turn, and every actor reads every block. Ranks' own parts are always cut by count.",
)
