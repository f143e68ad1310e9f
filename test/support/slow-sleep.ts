// A sleep whose end the test decides.

type SlowSleep = {
  sleep: (ms: number, signal: AbortSignal) => Promise<void>
  /** Ends the sleep that began last. */
  pass: () => void
  /** The duration that the last sleep was asked for; 0: there was none. */
  sleptMs: () => number
}

export function slowSleep(): SlowSleep {
  let pass: (() => void) | undefined
  let sleptMs = 0
  const sleep = async (ms: number, signal: AbortSignal) => {
    sleptMs = ms
    await new Promise<void>((resolve, reject) => {
      pass = resolve
      signal.addEventListener('abort', () => reject(new Error('no longer')), { once: true })
    })
  }
  return { sleep, pass: () => pass?.(), sleptMs: () => sleptMs }
}
