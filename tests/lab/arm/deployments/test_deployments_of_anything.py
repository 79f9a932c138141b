"""Whatever a template holds, it is deployed or refused; nothing breaks, and what was refused changed nothing."""

import copy
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podpass.tokens.keys import SigningKey
from tests.lab.arm.azure_world import World
from tests.lab.arm.deployments.deploying import CREDENTIAL, IDENTITY, VAULT, Deploying, identity, template, vault

EXPRESSIONS = [
    "[parameters('name')]",
    "[variables('all')]",
    "[reference('app')]",
    "[reference('app').clientId]",
    "[resourceId('x')]",
    "[copyIndex()]",
    "[copyIndex('apps')]",
    "[if(true(), 1, 2)]",
    "[createObject('a', 1)]",
    "[listKeys('app', '2023-01-31')]",
    "[deployment()]",
    "[fail('no')]",
    "[",
    "[[x]",
    "app",
    "apps",
    "",
]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 900),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(EXPRESSIONS),
    st.just([]),
    st.just({}),
    st.lists(st.sampled_from(EXPRESSIONS), max_size=2),
    st.dictionaries(st.sampled_from(["name", "value", "copy", *EXPRESSIONS[:4]]), st.integers(), max_size=2),
)
WHOLE: dict[str, Any] = template(
    [
        identity("app", tags={"a": "[parameters('name')]"}),
        identity("[format('app-{0}', copyIndex())]", copy={"name": "apps", "count": 2}, dependsOn=["app"]),
        {
            "type": CREDENTIAL,
            "apiVersion": "2023-01-31",
            "name": "app/pods",
            "properties": {"issuer": "https://i.example", "subject": "[reference('app').clientId]", "audiences": ["a"]},
            "dependsOn": [f"[resourceId('{IDENTITY}', 'app')]"],
        },
        vault(
            "kv-any",
            condition="[parameters('yes')]",
            resources=[
                {
                    "type": "secrets",
                    "apiVersion": "2023-07-01",
                    "name": "word",
                    "properties": {"value": "x"},
                    "dependsOn": ["kv-any"],
                }
            ],
        ),
        {
            "type": "Microsoft.Authorization/roleAssignments",
            "apiVersion": "2022-04-01",
            "name": "[guid('x')]",
            "scope": f"[resourceId('{VAULT}', 'kv-any')]",
            "properties": {
                "roleDefinitionId": "x/acdd72a7-3385-48ef-bd42-f606fba81ae7",
                "principalId": "[reference('app').principalId]",
            },
            "dependsOn": [f"[resourceId('{VAULT}', 'kv-any')]"],
        },
        {
            "type": "Microsoft.Resources/deployments",
            "apiVersion": "2022-09-01",
            "name": "inner",
            "properties": {
                "mode": "Incremental",
                "expressionEvaluationOptions": {"scope": "inner"},
                "parameters": {"n": {"value": "[variables('all')[0]]"}},
                "template": template([identity("[parameters('n')]")], parameters={"n": {"type": "string"}}),
            },
        },
    ],
    parameters={
        "name": {"type": "string", "defaultValue": "n", "maxLength": 5},
        "yes": {"type": "bool", "defaultValue": True},
    },
    variables={"all": ["one"], "copy": [{"name": "more", "count": 2, "input": "[copyIndex('more')]"}]},
    functions=[
        {
            "namespace": "own",
            "members": {"f": {"parameters": [{"name": "x", "type": "int"}], "output": {"type": "int", "value": 1}}},
        }
    ],
    outputs={
        "id": {"type": "string", "value": "[reference('app').clientId]"},
        "each": {"type": "array", "copy": {"count": 2, "input": "[copyIndex()]"}},
    },
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, one in inner for found in paths(one, (*path, key)))]


PATHS = [path for path in paths(WHOLE) if path]


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.sampled_from(PATHS), value=VALUES, form=st.sampled_from(["replaced", "left out"]))
async def test_a_template_with_anything_in_it_is_deployed_or_refused(
    signing_key: SigningKey, where: tuple[Any, ...], value: Any, form: str
) -> None:
    document = copy.deepcopy(WHOLE)
    holder = document
    for key in where[:-1]:
        holder = holder[key]
    if form == "left out":
        del holder[where[-1]]
    else:
        holder[where[-1]] = value
    world = World(signing_key)
    try:
        deploying = Deploying(world)
        foreseen = await deploying.post("whatIf", document)
        assert foreseen.status < 500 or foreseen.status == 501, foreseen.body
        before = list(world.store.connection.iterdump())
        reply = await deploying.begin(document)
        assert reply.status < 500 or reply.status == 501, reply.body
        if reply.status > 299:
            after = [line for line in world.store.connection.iterdump() if "journal" not in line]
            assert after == [line for line in before if "journal" not in line]
            return
        ended = await deploying.end()
        while ended["provisioningState"] == "Running":
            # Many resources take several turns.
            ended = await deploying.end()
        assert ended["provisioningState"] in ("Succeeded", "Failed")
        assert ("error" in ended) is (ended["provisioningState"] == "Failed")
    finally:
        world.journal.flush()
        world.store.close()
