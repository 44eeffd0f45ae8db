/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/date.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_of_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year));
}

/* Exactly `digits` digits. */
static bool take(int *value, const char **at, int digits)
{
    *value = 0;
    for (; digits > 0; digits--, (*at)++) {
        if (!isdigit((unsigned char)**at))
            return false;
        *value = *value * 10 + (**at - '0');
    }
    return true;
}

static bool take_sign(const char **at, char sign)
{
    bool found = **at == sign;
    *at += found;
    return found;
}

static bool take_day(double *seconds, const char **at)
{
    int year, month, day = 1;
    if (!take(&year, at, 4) || !take_sign(at, '-') || !take(&month, at, 2) || year < 1 || month < 1 || month > 12)
        return false;
    if (take_sign(at, '-') && (!take(&day, at, 2) || day < 1 || day > days_of_month(year, month)))
        return false;
    *seconds = (double)timegm(&(struct tm){.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day});
    return true;
}

static bool take_fraction(double *seconds, const char **at)
{
    double weight = 1;
    if (**at != '.' && **at != ',')
        return true;
    ++*at;
    if (!isdigit((unsigned char)**at))
        return false;
    for (; isdigit((unsigned char)**at); (*at)++)
        *seconds += (**at - '0') * (weight /= 10);
    return true;
}

static bool take_clock(double *seconds, const char **at)
{
    int hour, minute, second = 0;
    double fraction = 0;
    if (!take(&hour, at, 2) || !take_sign(at, ':') || !take(&minute, at, 2))
        return false;
    if (take_sign(at, ':') && (!take(&second, at, 2) || !take_fraction(&fraction, at)))
        return false;
    bool midnight = hour == 24 && minute == 0 && second == 0 && fraction == 0;
    if ((hour > 23 && !midnight) || minute > 59 || second > 60)
        return false;
    *seconds += hour * 3600.0 + minute * 60.0 + second + fraction;
    return true;
}

static bool take_zone(double *seconds, const char **at)
{
    int hour, minute = 0, sign = **at == '-' ? -1 : 1;
    if (**at != '-' && **at != '+') {
        if (**at == 'Z' || **at == 'z')
            ++*at;
        return true;
    }
    ++*at;
    if (!take(&hour, at, 2))
        return false;
    if ((take_sign(at, ':') || isdigit((unsigned char)**at)) && !take(&minute, at, 2))
        return false;
    *seconds -= sign * (hour * 3600.0 + minute * 60.0);
    return hour <= 23 && minute <= 59;
}

bool date_read(double *ret, const char *text)
{
    double seconds;
    const char *at = text + strspn(text, " \t\r\n");
    if (!take_day(&seconds, &at))
        return false;
    bool timed = *at == 'T' || *at == 't' || (*at == ' ' && isdigit((unsigned char)at[1]));
    if (timed) {
        at++;
        if (!take_clock(&seconds, &at) || !take_zone(&seconds, &at))
            return false;
    }
    if (at[strspn(at, " \t\r\n")])
        return false;
    *ret = seconds;
    return true;
}

void date_text(char text[DATE_TEXT], double seconds)
{
    struct tm date;
    if (!(seconds >= -62135596800.0 && seconds < 253402300800.0)) { /* not of the years 1 to 9999 */
        snprintf(text, DATE_TEXT, "%.17g", seconds);
        return;
    }
    const time_t whole = (time_t)floor(seconds);
    gmtime_r(&whole, &date);
    double rest = seconds - (double)whole;
    int used = snprintf(text, DATE_TEXT, "%04d-%02d-%02d", (date.tm_year + 1900) % 10000, date.tm_mon + 1, date.tm_mday),
        milliseconds = (int)(rest * 1000);
    if (date.tm_hour == 0 && date.tm_min == 0 && date.tm_sec == 0 && rest <= 0)
        return;
    used += snprintf(text + used, (size_t)(DATE_TEXT - used), "T%02d:%02d:%02d", date.tm_hour, date.tm_min, date.tm_sec);
    if (milliseconds > 0)
        used += snprintf(text + used, (size_t)(DATE_TEXT - used), ".%03d", milliseconds);
    snprintf(text + used, (size_t)(DATE_TEXT - used), "Z");
}
