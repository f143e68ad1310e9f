// Wires the upload function.

import { serve } from '#shared/runtime/serve.ts'
import { wireLight } from '#shared/wiring/light.ts'
import { wireTransfers } from '#shared/wiring/mover.ts'
import { handleUpload } from './handler.ts'

const { deps, log, metrics } = wireLight('upload')
const wired = wireTransfers('upload', deps, metrics)
await serve({
  name: 'upload',
  kinds: ['Upload'],
  handle: (context, ref, signal) => handleUpload(context, ref, { ...wired, log: context.log }, signal),
  log,
  metrics,
  onStop: async () => {
    await wired.mover.close()
    await wired.volumes.close()
  },
})
