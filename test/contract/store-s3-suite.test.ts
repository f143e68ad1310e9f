// The S3 store keeps the contract of the port, over a real server with and without TLS.

import { createS3Store } from '#shared/repository/stores/s3/store.ts'
import { settingsFor, startGateway } from './store-s3-support.ts'
import { storeSuite } from './store-suite.ts'

for (const tls of [false, true]) {
  storeSuite(`object store in S3${tls ? ' over TLS' : ''}`, async () => {
    const gateway = await startGateway(tls)
    const settings = settingsFor(gateway.s3)
    const open = async () => createS3Store(settings)
    return { store: await open(), open, stop: () => gateway.stop() }
  })
}
