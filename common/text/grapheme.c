/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/grapheme.h"

uint8_t grapheme_property(uint32_t c)
{
    if (c >= 0xAC00 && c <= 0xD7A3)
        return (c - 0xAC00) % 28 ? GRAPHEME_LVT : GRAPHEME_LV;
    size_t low = 0, high = grapheme_range_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (grapheme_ranges[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < grapheme_range_count && grapheme_ranges[low].first <= c ? grapheme_ranges[low].property : GRAPHEME_OTHER;
}

static bool is_control(uint8_t class)
{
    return class == GRAPHEME_CONTROL || class == GRAPHEME_CR || class == GRAPHEME_LF;
}

static bool joins_hangul(uint8_t before, uint8_t after)
{
    switch (before) {
    case GRAPHEME_L:
        return after == GRAPHEME_L || after == GRAPHEME_V || after == GRAPHEME_LV || after == GRAPHEME_LVT;
    case GRAPHEME_LV:
    case GRAPHEME_V:
        return after == GRAPHEME_V || after == GRAPHEME_T;
    case GRAPHEME_LVT:
    case GRAPHEME_T:
        return after == GRAPHEME_T;
    default:
        return false;
    }
}

static bool breaks(const struct grapheme_state *s, uint8_t after)
{
    uint8_t before = s->before;
    if (before == GRAPHEME_CR && after == GRAPHEME_LF)
        return false;
    if (is_control(before) || is_control(after))
        return true;
    if (after == GRAPHEME_EXTEND || after == GRAPHEME_ZWJ || after == GRAPHEME_SPACING || before == GRAPHEME_PREPEND)
        return false;
    if (after == GRAPHEME_CONSONANT && s->conjunct == 2)
        return false;
    if (after == GRAPHEME_PICTOGRAPHIC && s->emoji == 2)
        return false;
    if (after == GRAPHEME_REGIONAL && s->odd_regional)
        return false;
    return !joins_hangul(before, after);
}

bool grapheme_starts(struct grapheme_state *s, uint8_t property)
{
    uint8_t class = property & GRAPHEME_CLASS;
    bool starts = !s->inside || breaks(s, class);
    s->inside = true;
    s->before = class;
    s->odd_regional = class == GRAPHEME_REGIONAL && !s->odd_regional;
    if (class == GRAPHEME_PICTOGRAPHIC)
        s->emoji = 1;
    else if (class == GRAPHEME_ZWJ && s->emoji == 1)
        s->emoji = 2;
    else if (class != GRAPHEME_EXTEND || s->emoji == 2)
        s->emoji = 0;
    if (class == GRAPHEME_CONSONANT)
        s->conjunct = 1;
    else if (s->conjunct && property & GRAPHEME_LINKER)
        s->conjunct = 2;
    else if (!(property & GRAPHEME_CONJUNCT))
        s->conjunct = 0;
    return starts;
}
