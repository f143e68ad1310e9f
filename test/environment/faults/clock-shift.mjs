// Preloaded into functions (NODE_OPTIONS) by an environment with faults: their wall clock goes wrong by the milliseconds that stand in
// ENVIRONMENT_CLOCK_FILE. Monotonic time and timers stay right, as when an administrator sets a machine's clock.

import { readFileSync } from 'node:fs'

const READ_EVERY_MS = 100
const file = process.env['ENVIRONMENT_CLOCK_FILE'] ?? ''
const RealDate = Date
let shiftMs = read()
setInterval(() => {
  shiftMs = read()
}, READ_EVERY_MS).unref()

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, as) => Reflect.construct(target, args.length === 0 ? [now()] : args, as),
  apply: (target) => new target(now()).toString(),
  get: (target, key) => (key === 'now' ? now : Reflect.get(target, key)),
})

function now() {
  return RealDate.now() + shiftMs
}

function read() {
  try {
    return Number(readFileSync(file, 'utf8'))
  } catch {
    return 0
  }
}
