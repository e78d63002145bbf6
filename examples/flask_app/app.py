"""A shop in Flask. Against the development server (no account needed), in two terminals:

    python -m ldclient serve examples/flags.json
    LD_BASE_URI=http://127.0.0.1:8030 flask --app examples/flask_app/app.py run

Then http://127.0.0.1:5000/?user=demo-account, and `flask --app examples/flask_app/app.py flags list`. Change a flag in
flags.json: the next page shows it. In production: gunicorn --chdir examples/flask_app app:app
"""

import os

from flask import Flask, abort, jsonify, render_template_string, request

import ldclient
from ldclient.flask import FeatureFlags, is_active_feature

flags = FeatureFlags()


@flags.user_loader
def user():
    """Whom flags are for; usually whoever is logged in."""
    key = request.args.get("user")
    return {"key": key} if key else {"key": "visitor", "anonymous": True}


PAGE = """<!doctype html>
<title>Shop</title>
<h1>{{ variation("new-checkout", "classic") }} checkout</h1>
{% if "your.feature.key" is active_feature %}<p><a href="{{ url_for('beta') }}">Beta</a></p>{% endif %}
<script>window.start = {{ flags_bootstrap() }}</script>
"""


def create_app():
    """Makes the application, as Flask's own command and servers expect it."""
    app = Flask(__name__)
    app.config["LDCLIENT_SDK_KEY"] = os.environ.get("LD_SDK_KEY", "any-key")
    app.config["LDCLIENT_URI"] = os.environ.get("LD_BASE_URI")  # None: LaunchDarkly itself
    flags.init_app(app)

    @app.get("/")
    def home():
        return render_template_string(PAGE)

    @app.get("/checkout")
    def checkout():
        # Two reads in one request never disagree, even if somebody flips the flag in between.
        first = ldclient.variation("new-checkout", "classic")
        return jsonify(first=first, second=ldclient.variation("new-checkout", "classic"), worker=os.getpid())

    @app.get("/beta")
    @is_active_feature("your.feature.key", redirect="home")
    def beta():
        return "the beta"

    @app.post("/buy")
    def buy():
        if "price" not in request.form:
            abort(400)
        ldclient.track("Completed purchase", {"price": float(request.form["price"])})
        return "thank you"

    return app


app = create_app()
