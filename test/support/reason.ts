// The outcome of a promise, for assertions.

import { DormouseError } from '#shared/kernel/errors.ts'

/** The reason of its rejection, or the error's message when it has none; `none`: it resolved. */
export async function reasonOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (error) {
    return error instanceof DormouseError ? error.reason : String(error)
  }
  return 'none'
}
