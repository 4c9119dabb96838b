import { ConfigError } from "@infllm/tensor";

/** What the process returns. Scripts may rely on these. */
export const exitCodes = {
  ok: 0,
  /** The command was understood but could not be done. */
  failed: 1,
  /** An unknown command, option or value. */
  usage: 2,
  /** Ended by Ctrl-C: 128 + SIGINT, as shells report it, so that loops in scripts stop, too. */
  interrupted: 130,
} as const;

/** A request that no file or machine could satisfy: ends the command with exit code 2. */
export class BadUsageError extends Error {
  override readonly name = "BadUsageError";
}

/** Thrown when Ctrl-C ended a command and everything was put away. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
}

/** Runs a check of options: what the library calls a ConfigError is then bad usage of the command. */
export function usageErrors<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (error instanceof ConfigError) throw new BadUsageError(error.message, { cause: error });
    throw error;
  }
}
