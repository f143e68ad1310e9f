// Turns of the event loop, in which no virtual time passes.

/** Lets every promise continue that can. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 6; i++) await aTurn()
}

export async function aTurn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}
