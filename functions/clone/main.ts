// Wires the clone function.

import { serve } from '#shared/runtime/serve.ts'
import { wireLight } from '#shared/wiring/light.ts'
import { CLONE_KINDS, handleClone } from './handler.ts'

const { deps, log, metrics } = wireLight('clone')
await serve({
  name: 'clone',
  kinds: CLONE_KINDS,
  handle: (context, ref, signal) => handleClone(context, ref, { ...deps, log: context.log }, signal),
  log,
  metrics,
})
