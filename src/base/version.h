/* The version of the program, as `bulkhead version`, /health and the metrics tell it (semantic
 * versioning). */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#define BULKHEAD_VERSION "0.1.0"

#endif
