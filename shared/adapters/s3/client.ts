// Makes the SDK's client for a bucket: our HTTP layer, one attempt per call, checksums only where we put them.

import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import { secureContextFor } from '#shared/adapters/net/anchors.ts'
import type { Trust } from '#shared/adapters/net/trust.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { S3Settings } from '#shared/ports/mover.ts'
import type { BodyBuffers } from './body-buffers.ts'
import type { TransportOptions } from './options.ts'
import { SocketHandler } from './request-handler.ts'

export function createClient(settings: S3Settings, transport: TransportOptions, buffers: BodyBuffers): S3Client {
  return new S3Client({
    region: settings.region,
    ...(settings.url === undefined ? { followRegionRedirects: true } : { endpoint: settings.url }),
    ...(settings.credentials === undefined ? {} : { credentials: settings.credentials }),
    forcePathStyle: settings.forcePathStyle,
    useArnRegion: true,
    disableS3ExpressSessionAuth: true,
    // The one retry layer is the kernel's; the SDK's would multiply with it.
    maxAttempts: 1,
    retryMode: 'standard',
    defaultsMode: 'standard',
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // It would cost a round trip per pack; connection.ts and store.ts cope with early refusals.
    expectContinueHeader: false,
    userAgentAppId: 'dormouse',
    requestHandler: handlerFor(settings, transport, buffers),
  })
}

function handlerFor(
  settings: S3Settings,
  transport: TransportOptions,
  buffers: BodyBuffers,
): NonNullable<S3ClientConfig['requestHandler']> {
  let trust: Trust | undefined
  return new SocketHandler({
    ...transport,
    maxIdleMs: 15 * SECOND_MS,
    maxBodyBytes: transport.maxObjectBytes,
    buffers,
    trust: () => {
      trust ??= trustOf(settings)
      return trust
    },
  })
}

/** The system's authorities stay trusted beside the location's own, as in Velero's plugin for AWS. */
function trustOf({ caCert, insecureSkipTlsVerify }: S3Settings): Trust {
  return { secureContext: secureContextFor({ caPem: caCert }), verify: !insecureSkipTlsVerify }
}
