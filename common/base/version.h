#pragma once
#define MUSTER_VERSION "0.1.0"
