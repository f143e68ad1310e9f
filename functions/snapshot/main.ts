// Wires the snapshot function.

import { serve } from '#shared/runtime/serve.ts'
import { wireLight } from '#shared/wiring/light.ts'
import { wireVolumes } from '#shared/wiring/volumes.ts'
import { handleSnapshot } from './handler.ts'

const { deps, log, metrics } = wireLight('snapshot')
const volumes = wireVolumes(deps)
await serve({
  name: 'snapshot',
  kinds: ['Snapshot'],
  handle: (context, ref, signal) => handleSnapshot(context, ref, { ...volumes, log: context.log }, signal),
  log,
  metrics,
  onStop: () => volumes.volumes.close(),
})
