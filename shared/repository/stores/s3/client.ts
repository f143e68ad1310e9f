// Creates the SDK's client for a bucket: with Dormouse's HTTP layer, one attempt per call, and checksums only where Dormouse adds them.

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
    // Whatever the location says about the store's certificate, requests to STS are always verified.
    return handlerFor({ ...settings, insecureSkipTlsVerify: false }, transport, buffers)
  })
  return new S3Client({
    region: settings.region,
    ...(settings.url === undefined ? { followRegionRedirects: true } : { endpoint: settings.url }),
    ...(credentials === undefined ? {} : { credentials }),
    forcePathStyle: settings.forcePathStyle,
    useArnRegion: true,
    disableS3ExpressSessionAuth: true,
    // Only the kernel retries: retries of the SDK would multiply with those.
    maxAttempts: 1,
    retryMode: 'standard',
    defaultsMode: 'standard',
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // It would cost a round trip per pack; connection.ts and store.ts handle early refusals.
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

/** The system's certificate authorities stay trusted besides the location's own, as in Velero's plugin for AWS. */
function trustOf({ caCert, insecureSkipTlsVerify }: S3Settings): Trust {
  return { secureContext: secureContextFor({ caPem: caCert }), verify: !insecureSkipTlsVerify }
}
