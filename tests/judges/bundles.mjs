// What @sigstore/verify says of Sigstore bundles that a key signed.
//
// Usage: node bundles.mjs KEY.pem BUNDLE... ; $KILN_JUDGES has node_modules (see attestations). Prints "accepted" or
// "refused" and the file's name, a line a bundle.
import {createPublicKey} from "node:crypto";
import fs from "node:fs";
import {createRequire} from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.KILN_JUDGES, "package.json"));
const {bundleFromJSON} = require("@sigstore/bundle");
const {Verifier, toSignedEntity, toTrustMaterial} = require("@sigstore/verify");
const [pem, ...files] = process.argv.slice(2);
const key = createPublicKey(fs.readFileSync(pem));
const roots = {certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: []};
const verifier = new Verifier(toTrustMaterial(roots, () => ({publicKey: key, validFor: () => true})),
    {ctlogThreshold: 0, tlogThreshold: 0, timestampThreshold: 0});

for (const file of files) {
    let word = "accepted";
    try {
        verifier.verify(toSignedEntity(bundleFromJSON(JSON.parse(fs.readFileSync(file, "utf8")))));
    } catch {
        word = "refused";
    }
    console.log(word, path.basename(file));
}
