/**
 * Errors of the whole project. Each says who refused, what was given, what is allowed and what to do next,
 * so that a message is enough to act on. Catch by class, never by text.
 */
export class InfllmError extends Error {
  override readonly name: string = "InfllmError";
}

/** A shape, size or count that does not fit what the operation needs. */
export class ShapeError extends InfllmError {
  override readonly name = "ShapeError";
}

/** An option outside its allowed values, or options that contradict each other. */
export class ConfigError extends InfllmError {
  override readonly name = "ConfigError";
}

/** A file or byte sequence that is truncated, corrupt, or contradicts itself. */
export class FormatError extends InfllmError {
  override readonly name = "FormatError";
}

/** A valid request that this build, backend or model family does not support. */
export class UnsupportedError extends InfllmError {
  override readonly name = "UnsupportedError";
}

/** Something the operation needs is not there: a file, a backend, a device, an optional package. */
export class NotAvailableError extends InfllmError {
  override readonly name = "NotAvailableError";
}

/** An object used after `close()` or `release()`, or two objects that do not belong together. */
export class UsageError extends InfllmError {
  override readonly name = "UsageError";
}

/** An allocation that does not fit. Both sizes are in bytes. */
export class OutOfMemoryError extends InfllmError {
  override readonly name = "OutOfMemoryError";

  constructor(
    readonly what: string,
    readonly needed: number,
    readonly available: number,
    remedy: string,
  ) {
    super(`${what} needs ${formatBytes(needed)}, but ${formatBytes(available)} is available. ${remedy}`);
  }
}

/** A device that stopped working; every tensor on it is lost. */
export class DeviceLostError extends InfllmError {
  override readonly name = "DeviceLostError";
}

/** Bytes for people: `1.50 GiB`, `12.0 KiB`, `17 B`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"] as const;
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0;
  return `${value.toFixed(digits)} ${units[unit]}`;
}
