// Makes the SDK's client for a bucket: our HTTP layer, one attempt per call, checksums only where we put them.

import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import { proxyTrust, secureContextFor } from '#shared/adapters/net/anchors.ts'
import type { Trust } from '#shared/adapters/net/trust.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { BodyBuffers } from './body-buffers.ts'
import type { TransportOptions } from './options.ts'
import { SocketHandler } from './request-handler.ts'
import { type RoleContext, roleOfEnvironment, roleProvider } from './role-credentials.ts'
import type { S3Settings } from './settings.ts'

export function createClient(settings: S3Settings, transport: TransportOptions, buffers: BodyBuffers): S3Client {
  const credentials = credentialsFor(settings, () => {
    // Whatever the location says of the store's certificate, nothing goes to STS unverified.
    return handlerFor({ ...settings, insecureSkipTlsVerify: false }, transport, buffers)
  })
  return new S3Client({
    region: settings.region,
    ...(settings.url === undefined ? { followRegionRedirects: true } : { endpoint: settings.url }),
    ...(credentials === undefined ? {} : { credentials }),
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

/** undefined: the SDK's default chain. */
function credentialsFor({ credentials, region }: S3Settings, handler: () => RoleContext['requestHandler']) {
  const chosen = credentials ?? roleOfEnvironment(process.env)
  if (chosen === undefined || !('roleArn' in chosen)) return chosen
  return roleProvider(chosen, { region, requestHandler: handler(), env: process.env })
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
    proxyTrust: proxyTrust(settings.caCert),
  })
}

/** The system's authorities stay trusted beside the location's own, as in Velero's plugin for AWS. */
function trustOf({ caCert, insecureSkipTlsVerify }: S3Settings): Trust {
  return { secureContext: secureContextFor({ caPem: caCert }), verify: !insecureSkipTlsVerify }
}
