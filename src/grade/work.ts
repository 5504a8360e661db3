/** Thrown inside the grader when an answer costs more than its step limit; it never leaves the module. */
export class TooComplex extends Error {}

let left = 0

/** Runs `body` with `steps` to spend. Nested calls share the outer allowance. */
export function withSteps<T>(steps: number, body: () => T): T {
  if (left > 0) return body()
  left = steps
  try {
    return body()
  } finally {
    left = 0
  }
}

/** Takes `steps` from the allowance: about one per token read, tree node visited, or 64 bits multiplied. */
export function spend(steps: number): void {
  left -= steps
  if (!(left > 0)) {
    left = 1e-9
    throw new TooComplex('step limit')
  }
}
