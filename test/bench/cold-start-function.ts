// The least that a light function does: it reads the object that the event names. Measured by cold-start.ts.

import { createCluster } from '#shared/adapters/kube/cluster.ts'
import { serve } from '#shared/runtime/serve.ts'

const { BENCH_POD: serviceAccountDir } = process.env
const cluster = createCluster(serviceAccountDir === undefined ? {} : { serviceAccountDir })

await serve({
  name: 'cold-start',
  kinds: ['Upload'],
  handle: async (_context, ref) => {
    const upload = await cluster.read(ref.kind, ref.namespace, ref.name)
    return upload === undefined ? 'gone' : 'nothing to do'
  },
})
