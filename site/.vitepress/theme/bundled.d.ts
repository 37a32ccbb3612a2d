// What only the bundler knows.
declare module '*.css'

/** The guides of the site, by their paths: `zh/kafka.md`. */
declare const __GUIDES__: readonly string[]
