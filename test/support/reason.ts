// What a promise came to, for assertions.

import { DormouseError } from '#shared/kernel/errors.ts'

/** The reason that it rejected with; the error's words when it has none; `none`: it resolved. */
export async function reasonOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (error) {
    return error instanceof DormouseError ? error.reason : String(error)
  }
  return 'none'
}
