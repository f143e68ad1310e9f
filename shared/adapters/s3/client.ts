// Makes the SDK's client for a bucket: our HTTP layer, one attempt per call, checksums only where we put them.

import http from 'node:http'
import https from 'node:https'
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { S3Settings } from '#shared/ports/mover.ts'
import type { BodyBuffers } from './body-buffers.ts'
import type { TransportOptions } from './options.ts'
import { SocketHandler } from './request-handler.ts'
import { type RoleContext, roleOfEnvironment, roleProvider } from './role-credentials.ts'
import { secureContextFor } from './trust.ts'

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
  if (environmentNamesProxy()) return proxyHandler(settings, transport)
  return new SocketHandler({
    ...transport,
    maxIdleMs: 15 * SECOND_MS,
    maxBodyBytes: transport.maxObjectBytes,
    buffers,
    verifyCertificate: !settings.insecureSkipTlsVerify,
    secureContext: () => secureContextFor(settings.caCert),
  })
}

// Through a proxy the SDK's own handler does the work: slower to read with, but Node's agents know proxies and NO_PROXY.
function proxyHandler(settings: S3Settings, transport: TransportOptions): NodeHttpHandler {
  const agent = { keepAlive: true, maxSockets: transport.maxConnections, proxyEnv: process.env }
  return new NodeHttpHandler({
    connectionTimeout: transport.connectTimeoutMs,
    socketTimeout: transport.idleTimeoutMs,
    httpAgent: new http.Agent(agent),
    httpsAgent: new https.Agent({
      ...agent,
      secureContext: secureContextFor(settings.caCert),
      rejectUnauthorized: !settings.insecureSkipTlsVerify,
    }),
  })
}

function environmentNamesProxy(): boolean {
  return ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy'].some((name) => (process.env[name] ?? '') !== '')
}
