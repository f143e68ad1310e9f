// esbuild options and plugins for a quick start. CPU time and memory were measured on Node 24.21 with a warm
// compile cache, where `node -e 0` takes 25 ms and 42 MiB and a light function 90 ms and 65 MiB.

import type { BuildOptions, Plugin } from 'esbuild'

/**
 * `import … from 'node:http'` reads every export once; three of them load Node's own undici: 30 ms and 13 MiB.
 * `require` does not. esbuild also moves such an import out of a file that is itself loaded only on demand.
 */
const requireHttp: Plugin = {
  name: 'require-http',
  setup(build) {
    build.onResolve({ filter: /^(node:)?http$/ }, ({ path, namespace }) =>
      namespace === 'require-http' ? { path, external: true } : { path, namespace: 'require-http' },
    )
    build.onLoad({ filter: /.*/, namespace: 'require-http' }, () => ({
      contents: "module.exports = require('node:http')",
    }))
  },
}

/** Express reads all 2,500 media types at its start (17 ms, 3 MiB); a function uses three of them. */
const fewMediaTypes: Plugin = {
  name: 'few-media-types',
  setup(build) {
    const types = {
      'application/json': { source: 'iana', charset: 'UTF-8', compressible: true, extensions: ['json'] },
      'application/octet-stream': { source: 'iana', extensions: ['bin'] },
      'text/html': { source: 'iana', compressible: true, extensions: ['html'] },
      'text/plain': { source: 'iana', compressible: true, extensions: ['txt'] },
    }
    build.onResolve({ filter: /^mime-db$/ }, ({ path }) => ({ path, namespace: 'few-media-types' }))
    build.onLoad({ filter: /.*/, namespace: 'few-media-types' }, () => ({
      contents: `module.exports = ${JSON.stringify(types)}`,
    }))
  },
}

/**
 * The Kubernetes client is used only to read kubeconfig files. Its undici serves the generated API, which is never
 * called (25 ms, 6 MiB when the client reads such a file).
 */
const noUndici: Plugin = {
  name: 'no-undici',
  setup(build) {
    build.onResolve({ filter: /^undici$/ }, ({ path, importer }) =>
      importer.includes('@kubernetes/client-node') ? { path, namespace: 'no-undici' } : undefined,
    )
    build.onLoad({ filter: /.*/, namespace: 'no-undici' }, () => ({
      contents: 'export class Agent {}\nexport class ProxyAgent {}\nexport const fetch = undefined',
    }))
  },
}

/**
 * `splitting` keeps modules that are loaded on demand (S3, vSphere, the Kubernetes client) in files that a cold start does not read.
 * `charset: 'ascii'` keeps the text of a bundle at one byte per character in memory: a single "…" makes it two.
 */
export const quickStart: BuildOptions = {
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  charset: 'ascii',
  external: ['koffi', '@koromix/*', '@napi-rs/*'],
  outExtension: { '.js': '.mjs' },
  banner: {
    js: "import { createRequire as requireFor } from 'node:module'; const require = requireFor(import.meta.url);",
  },
  plugins: [requireHttp, fewMediaTypes, noUndici],
}
